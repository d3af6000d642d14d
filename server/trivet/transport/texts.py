"""What every transport tells its callers in the same words."""

from __future__ import annotations

from trivet.errors import Unimplemented

# A status text travels in the trailers, of which a peer takes 8 KiB by default, all names and
# values together. As sent: percent-encoded.
MAX_DETAILS_BYTES = 6 * 1024

_ELLIPSIS = "…"


def unknown_method(name: str) -> Unimplemented:
    """The answer to a method that nobody serves."""
    return Unimplemented(f"unknown method {name}; this server's reflection lists those there are")


def bounded(text: str) -> str:
    """A status text that fits into the trailers: whole, or cut and ended with "…"."""
    text = text.encode("utf-8", "replace").decode()
    if 3 * 4 * len(text) <= MAX_DETAILS_BYTES:  # if every character took 4 bytes, each as %XX
        return text
    sent = _encoded_bytes(_ELLIPSIS)
    for place, character in enumerate(text):
        sent += _encoded_bytes(character)
        if sent > MAX_DETAILS_BYTES:
            return text[:place] + _ELLIPSIS
    return text


def _encoded_bytes(character: str) -> int:
    return 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
