"""Certificates and keys in PEM: read and tried, so that what is wrong with them can be told."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import NamedTuple

from trivet.errors import Fault, InvalidConfig
from trivet.transport.options import Tls

log = logging.getLogger("trivet.transport")

_State = tuple[tuple[int, int, int], ...]  # of each file: inode, size, time of change in ns


class Pems(NamedTuple):
    """What the files of one endpoint hold."""

    certificate: bytes
    key: bytes
    root: bytes | None


class WatchedFiles:
    """The files of one endpoint, and what they were when they were last looked at.

    For one caller at a time, on any thread.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._state: _State | None = None

    def first(self) -> Pems:
        """Read them. Raises InvalidConfig if they cannot be used."""
        self._state = _state(self._tls)
        return check_files(self._tls)

    def changed(self) -> Pems | None:
        """What is new since the last look; None where nothing is, or nothing that can be used."""
        state = _state(self._tls)
        if state == self._state:
            return None
        self._state = state  # before reading: what changes meanwhile is found the next time
        try:
            pems = check_files(self._tls)
        except InvalidConfig as error:
            for fault in error.faults:
                log.error("certificate_not_renewed", extra={"why": fault, "serves_on": "the old"})
            return None
        log.info("certificate_renewed", extra={"file": self._tls.certificate})
        return pems


def check_files(tls: Tls) -> Pems:
    """Certificate, key and root. Raises InvalidConfig for files that cannot be used."""
    certificate, key = _content(tls.certificate), _content(tls.key)
    _check_pair(tls)
    if tls.root is None:
        return Pems(certificate, key, None)
    root = _content(tls.root)
    _check_root(tls.root)
    return Pems(certificate, key, root)


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
