"""TLS of grpc, whose certificate is renewed while the server runs."""

from __future__ import annotations

import grpc

from trivet.transport.certificates import Pems, WatchedFiles
from trivet.transport.options import Tls


def credentials(tls: Tls) -> grpc.ServerCredentials:
    """What grpc encrypts with. Raises InvalidConfig if the files cannot be used.

    A new connection finds renewed files in use. Files that are broken leave what there was.
    """
    files = WatchedFiles(tls)

    def changed() -> grpc.ServerCertificateConfiguration | None:
        # Asked for every new connection, from threads of grpc, which hold a lock: one at a time.
        pems = files.changed()
        return None if pems is None else _configuration(pems)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(files.first()),
        changed,  # type: ignore[arg-type]  # the stubs forget that it may return None
        require_client_authentication=tls.clients_must_show,
    )


def _configuration(pems: Pems) -> grpc.ServerCertificateConfiguration:
    pair = (pems.key, pems.certificate)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=pems.root)
