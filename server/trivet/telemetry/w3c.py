"""Trace context as the W3C writes it: what a caller sends, and what it is told. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

TRACEPARENT, TRACESTATE, TRACERESPONSE = "traceparent", "tracestate", "traceresponse"

# Of a version to come, what follows the four known fields is passed over.
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_SAMPLED = 1

Header = Callable[[str], str | bytes | None]  # a name -> what the caller sent, if anything
_MAX_STATE = 512  # characters of a tracestate that the W3C asks to pass on


@dataclass(frozen=True, slots=True)
class Parent:
    """The caller's span. state: its tracestate as it came; empty without one."""

    trace_id: int
    span_id: int
    sampled: bool
    state: str = ""


def parent_of(traceparent: object, tracestate: object = None) -> Parent | None:
    """What these headers say; None if there is nothing, or nothing valid: a trace begins here."""
    if not isinstance(traceparent, str) or not (found := _PARENT.fullmatch(traceparent.strip())):
        return None
    version, trace, span, flags, more = found.groups()
    trace_id, span_id = int(trace, 16), int(span, 16)
    if version == "ff" or (version == "00" and more) or not trace_id or not span_id:
        return None
    state = tracestate if isinstance(tracestate, str) and len(tracestate) <= _MAX_STATE else ""
    return Parent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), state)


def written(trace_id: int, span_id: int, *, sampled: bool) -> str:
    """A traceparent, or the traceresponse that answers one."""
    return f"00-{trace_id:032x}-{span_id:016x}-{_SAMPLED if sampled else 0:02x}"
