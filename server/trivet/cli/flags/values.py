"""Text of the command line -> values. Each raises ArgumentTypeError, which names the cure."""

from __future__ import annotations

import argparse
import re

MAX_INT = 2**31 - 1  # what fits into a setting of grpc


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


def whole(text: str) -> int:
    """A whole number from 0 on."""
    if not _is_whole(text):
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number; give 0 or more")
    return int(text)


def setting(text: str) -> int:
    """A whole number from 0 on that grpc can take."""
    if not _is_whole(text) or int(text) > MAX_INT:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 0 to {MAX_INT}")
    return int(text)


def positive_setting(text: str) -> int:
    """A whole number above 0 that grpc can take."""
    if setting(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no positive whole number")
    return int(text)


def number(text: str) -> float:
    """A number from 0 on."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is no number; give 0 or more")
    return value


def boolean(text: str) -> bool:
    """true or 1, false or 0; in any case of letters, as Triton takes them."""
    if text.lower() not in {"true", "false", "1", "0"}:
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
    return text.lower() in {"true", "1"}


def without_login(text: str) -> str:
    """A text as it may be shown: the name and password that a URL may hold are left out."""
    return re.sub(r"//[^/@]*@", "//***@", text)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal()
