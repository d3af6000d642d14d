"""TLS whose certificate is renewed while the server runs."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path

import grpc

from trivet.errors import Fault, InvalidConfig
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
    certificate, key = _content(tls.certificate), _content(tls.key)
    _check_pair(tls)
    root = None
    if tls.root is not None:
        root = _content(tls.root)
        _check_root(tls.root)
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=root)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        cure = "give the path of a file in PEM that this user may read"
        raise InvalidConfig([Fault(str(path), str(error.strerror).lower(), cure)]) from None


def _check_pair(tls: Tls) -> None:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        what = f"is no pair with {tls.key} ({_reason(error)})"
        cure = "give a certificate in PEM and its own private key, which is not encrypted"
        raise InvalidConfig([Fault(str(tls.certificate), what, cure)]) from None


def _check_root(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except (OSError, ValueError) as error:
        what = f"holds no root certificate ({_reason(error)})"
        raise InvalidConfig([Fault(str(path), what, "give certificates in PEM")]) from None


def _no_password() -> str:
    raise ValueError("the key is encrypted")  # or OpenSSL would ask for it on the terminal


def _reason(error: OSError | ValueError) -> str:
    told = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(told).replace("_", " ").lower()


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
