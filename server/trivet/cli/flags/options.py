"""Parsed arguments -> the transport's options."""

from __future__ import annotations

import argparse

from trivet.cli.flags.tls import tls
from trivet.cli.flags.web import web_options
from trivet.errors import Fault, InvalidConfig
from trivet.transport.options import Keepalive, Options


def grpc_options(args: argparse.Namespace) -> Options:
    """Raises InvalidConfig for what cannot be served."""
    if not args.allow_grpc:
        what = "is false, and gRPC is all that this server speaks"
        raise InvalidConfig([Fault("--allow-grpc", what, "leave it out")])
    return Options(
        host=args.grpc_address,
        port=args.grpc_port,
        reuse_port=args.reuse_grpc_port,
        tls=tls(args),
        keepalive=_keepalive(args),
        compression=args.grpc_infer_response_compression_level,
        max_message_bytes=args.grpc_max_message_bytes,
        max_concurrent_streams=args.grpc_max_concurrent_streams,
        grace_s=args.exit_timeout_secs,
        transport=args.transport,
        web=web_options(args),
        processes=args.frontend_processes,
    )


def _keepalive(args: argparse.Namespace) -> Keepalive:
    return Keepalive(
        time_ms=args.grpc_keepalive_time,
        timeout_ms=args.grpc_keepalive_timeout,
        permit_without_calls=args.grpc_keepalive_permit_without_calls,
        max_pings_without_data=args.grpc_http2_max_pings_without_data,
        min_recv_ping_interval_without_data_ms=args.grpc_http2_min_recv_ping_interval_without_data,
        max_ping_strikes=args.grpc_http2_max_ping_strikes,
        max_connection_age_ms=args.grpc_max_connection_age or None,
        max_connection_age_grace_ms=args.grpc_max_connection_age_grace or None,
    )
