"""Whose pages may call: what is asked of a browser's requests, and what it is told of them.

A browser sends requests for any page that it has open, also to servers on its own machine. It names
the page's site in Origin with everything that is no mere look (also where a site has its own name
resolve to this server, "DNS rebinding", and so is no other site to the browser). Sites that are not
allowed are refused here, whatever the browser would have done; and since gRPC-Web's content types
are none that a form can send, other sites' pages have to ask first (preflight) and get a no.

No cookies and no certificates are asked of browsers, so nothing is sent along that a page's script
has not got itself: tokens come in the header `authorization`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from trivet.transport.h2corn.metadata import Headers

ANY = "*"  # among the origins allowed: all of them

# Seconds that a browser may remember that it may ask; the most that Chromium does.
_MAX_AGE_S = 7200
# What scripts may read beside the body. Each refusal adds what else it tells in headers.
_TOLD = (b"grpc-status", b"grpc-message", b"grpc-status-details-bin", b"grpc-encoding")

_SHAPE = re.compile(r"([a-z][a-z0-9+.-]*)://([^/:@?#\[\]\s,*]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_USUAL_PORTS = {"http": "80", "https": "443"}


def origin_of(text: str) -> str:
    """An origin as an operator writes it -> as browsers do; `*` stays what it is.

    Raises ValueError, with what is wrong, for what no browser would send.
    """
    if text == ANY:
        return text
    found = _SHAPE.fullmatch(text.lower())
    if not found or not text.isascii():
        raise ValueError(f"'{text}' is no origin; give scheme://host[:port] and no path, or {ANY}")
    scheme, host, port = found.groups()
    usual = port is None or port == _USUAL_PORTS.get(scheme)
    return f"{scheme}://{host}" if usual else f"{scheme}://{host}:{int(port)}"


def is_allowed(origin: bytes | None, origins: Collection[str]) -> bool:
    """origin: what the request says; None for a caller that is no browser."""
    return origin is None or ANY in origins or origin.decode("latin-1") in origins


def is_preflight(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser asks if a page may ask."""
    return (
        method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers
    )


def permission(headers: Mapping[bytes, bytes]) -> Headers:
    """The answer to a preflight of an origin that is allowed: any header, and POST alone."""
    wanted = headers.get(b"access-control-request-headers", b"")
    told = [
        *_for_origin(headers[b"origin"]),
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-max-age", str(_MAX_AGE_S).encode()),
    ]
    if _NAMES.fullmatch(wanted):
        told.append((b"access-control-allow-headers", wanted))
    return told


def readable(origin: bytes | None, told: Sequence[tuple[bytes, bytes]] = ()) -> Headers:
    """What lets a page of an allowed origin read an answer. told: further headers of it."""
    if origin is None:
        return []
    names = dict.fromkeys((*_TOLD, *(name for name, _ in told)))
    return [*_for_origin(origin), (b"access-control-expose-headers", b", ".join(names))]


def _for_origin(origin: bytes) -> Headers:
    return [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
