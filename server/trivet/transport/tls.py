"""TLS whose certificate is renewed while the server runs."""

from __future__ import annotations

import logging
import os

import grpc

from trivet.errors import InvalidConfig
from trivet.transport.certificates import check_files
from trivet.transport.options import Tls

log = logging.getLogger("trivet.transport")

_State = tuple[tuple[int, int, int], ...]  # of each file: inode, size, time of change in ns


def credentials(tls: Tls) -> grpc.ServerCredentials:
    """What grpc encrypts with. Raises InvalidConfig if the files cannot be used.

    A new connection finds renewed files in use. Files that are broken leave what there was.
    """
    files = _Files(tls)
    return grpc.dynamic_ssl_server_credentials(
        files.first(),
        files.changed,  # type: ignore[arg-type]  # the stubs forget that it may return None
        require_client_authentication=tls.clients_must_show,
    )


class _Files:
    """The files of one endpoint, and what they were when they were last looked at.

    grpc asks `changed` from threads of its own, while it holds a lock: one call at a time.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._state: _State | None = None

    def first(self) -> grpc.ServerCertificateConfiguration:
        self._state = _state(self._tls)
        return _read(self._tls)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked for every new connection; None: as before."""
        state = _state(self._tls)
        if state == self._state:
            return None
        self._state = state  # before reading: what changes meanwhile is found the next time
        try:
            configuration = _read(self._tls)
        except InvalidConfig as error:
            for fault in error.faults:
                log.error("certificate_not_renewed", extra={"why": fault, "serves_on": "the old"})
            return None
        log.info("certificate_renewed", extra={"file": self._tls.certificate})
        return configuration


def _read(tls: Tls) -> grpc.ServerCertificateConfiguration:
    """Read and try the files: grpc itself would not say what is wrong with them."""
    certificate, key, root = check_files(tls)
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=root)


def _state(tls: Tls) -> _State:
    """A file that is not there has a state, too: it may come back."""
    states = []
    for path in (tls.certificate, tls.key, tls.root):
        try:
            found = os.stat(path) if path is not None else None  # noqa: PTH116 - through links
        except OSError:
            found = None
        states.append((found.st_ino, found.st_size, found.st_mtime_ns) if found else (0, 0, 0))
    return tuple(states)
