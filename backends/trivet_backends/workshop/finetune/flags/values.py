"""Text of the command line -> values. Each raises ArgumentTypeError, which names the cure."""

from __future__ import annotations

import argparse
import math


def labels(text: str) -> tuple[str, ...]:
    """Names with commas between, two or more."""
    names = tuple(part.strip() for part in text.split(","))
    if not any(names):
        raise argparse.ArgumentTypeError("the list is empty: give labels with commas, at least two")
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r}: a label is empty; remove a comma")
    for label in names:
        if names.count(label) > 1:
            raise argparse.ArgumentTypeError(f"the label {label!r} is there twice; name it once")
    if len(names) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is one label: give at least two, with commas")
    return names


def some(text: str) -> str:
    """A text that is not empty."""
    if text:
        return text
    raise argparse.ArgumentTypeError("is empty; give a character")


def count(text: str) -> int:
    """A whole number from 1 on."""
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least 1")


def whole(text: str) -> int:
    """A whole number from 0 on."""
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least 0")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def positive(text: str) -> float:
    """A number above 0."""
    if 0 < _number(text) < math.inf:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0")


def not_negative(text: str) -> float:
    """A number from 0 on."""
    if 0 <= _number(text) < math.inf:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a number of at least 0")


def share(text: str) -> float:
    """Between 0 and 1."""
    if 0 < _number(text) < 1:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a number between 0 and 1")


def share_or_none(text: str) -> float:
    """From 0 to below 1."""
    if 0 <= _number(text) < 1:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a number from 0 to below 1")
