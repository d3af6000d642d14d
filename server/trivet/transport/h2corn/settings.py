"""The transport's options as h2corn's configuration, and which of them it cannot do."""

from __future__ import annotations

from typing import Literal

import h2corn

from trivet.errors import Fault, InvalidConfig
from trivet.transport.certificates import check_files
from trivet.transport.options import Options, Tls

_CURE = "leave it out, or serve with --transport grpcio"
_ANY_NUMBER = 2**32 - 1


def config(options: Options, listener: int) -> h2corn.Config:
    """listener: the descriptor of a socket that listens.

    Raises InvalidConfig for what cannot be done and would be missed, and for files of TLS that
    cannot be used.
    """
    if faults := list(_faults(options)):
        raise InvalidConfig(faults)
    tls = options.tls
    if tls is not None:
        check_files(tls)
    return h2corn.Config(
        bind=(f"fd://{listener}",),
        grpc=True,
        http1=options.web is not None,
        lifespan="off",
        access_log=False,
        # With two, one stop in 30 that followed a reset within 50 ms lasted for all of its grace.
        runtime_threads=1,
        date_header=False,
        max_concurrent_streams=options.max_concurrent_streams or _ANY_NUMBER,
        # Larger metadata is refused by the app, with a status that clients of gRPC understand.
        h2_max_header_list_size=256 * 1024,
        h2_max_header_block_size=256 * 1024,
        limit_request_fields=0,
        timeout_graceful_shutdown=options.grace_s,
        # Connections live until their peer leaves or vanishes, which the kernel finds out
        # (`transport.listening`); a slow reader is held back, and not cut off.
        timeout_keep_alive=0,
        h2_timeout_response_stall=0,
        h2_timeout_write=0,
        certfile=tls.certificate if tls else None,
        keyfile=tls.key if tls else None,
        ca_certs=tls.root if tls else None,
        cert_reqs=_client_certificates(tls),
    )


def _client_certificates(tls: Tls | None) -> Literal["none", "optional", "required"]:
    if tls is None or tls.root is None:
        return "none"
    return "required" if tls.clients_must_show else "optional"


def _faults(options: Options) -> list[Fault]:
    """What somebody relies on who has set it."""
    keepalive = options.keepalive
    set_flags = {
        "--grpc-max-connection-age": keepalive.max_connection_age_ms,
        "--grpc-max-connection-age-grace": keepalive.max_connection_age_grace_ms,
        "--grpc-http2-max-ping-strikes": keepalive.max_ping_strikes,
    }
    return [
        Fault(flag, "the transport h2corn cannot do that", _CURE)
        for flag, value in set_flags.items()
        if value
    ]
