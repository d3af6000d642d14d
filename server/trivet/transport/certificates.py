"""Certificates and keys in PEM: read and tried, so that what is wrong with them can be told."""

from __future__ import annotations

import ssl
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet.transport.options import Tls


def check_files(tls: Tls) -> tuple[bytes, bytes, bytes | None]:
    """Certificate, key and root. Raises InvalidConfig for files that cannot be used."""
    certificate, key = _content(tls.certificate), _content(tls.key)
    _check_pair(tls)
    if tls.root is None:
        return certificate, key, None
    root = _content(tls.root)
    _check_root(tls.root)
    return certificate, key, root


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
