"""The page's own files: read once, told apart by a digest, the same for everybody."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from trivet.status.router import Handler, Receive, Scope, Send, respond

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"

# Nothing from elsewhere and nothing written into the page: a text that a model or a caller made up
# stays a text, and nobody frames the page to borrow its reader's clicks.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURE = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is sent."""

    body: bytes
    kind: str
    etag: str


def page_files() -> Mapping[str, File]:
    """By path: / is the page, what it needs lies below /page/."""
    found = {}
    for entry in files("trivet.status").joinpath("page").iterdir():
        stem, dot, ending = entry.name.rpartition(".")
        if stem and (kind := _KINDS.get(dot + ending)):
            body = entry.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            path = "/" if entry.name == _INDEX else f"/page/{entry.name}"
            found[path] = File(body, kind, etag)
    return found


def sending(file: File) -> Handler:
    """Sends it, or says that the reader has it already."""

    async def send_file(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*SECURE, (b"etag", file.etag.encode())]
        known = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
        has_it = any(_is(tag, file.etag) for tag in known.split(","))
        status, body = (304, b"") if has_it else (200, file.body)
        await respond(scope, send, status, body, file.kind, headers, cache=b"no-cache")

    return send_file


def _is(tag: str, etag: str) -> bool:
    return tag.strip().removeprefix("W/") in (etag, "*")
