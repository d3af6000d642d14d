"""Text of the command line -> values. Each raises ArgumentTypeError, which names the cure."""

from __future__ import annotations

import argparse


def port(text: str) -> int:
    """A TCP port; 0 stands for a free one."""
    if not _is_whole(text) or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"'{text}' is no port; give 0 to 65535")
    return int(text)


def positive(text: str) -> int:
    """A whole number above 0."""
    if not _is_whole(text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no positive whole number")
    return int(text)


def boolean(text: str) -> bool:
    """true or 1, false or 0; in any case of letters, as Triton takes them."""
    if text.lower() not in {"true", "false", "1", "0"}:
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
    return text.lower() in {"true", "1"}


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal()
