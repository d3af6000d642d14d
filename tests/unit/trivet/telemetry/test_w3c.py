"""Trace context as the W3C writes it."""

from __future__ import annotations

import pytest

from trivet.telemetry.w3c import Parent, parent_of, written

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = Parent(int(TRACE, 16), int(SPAN, 16), True)


@pytest.mark.parametrize(
    ("traceparent", "parent"),
    [
        (f"00-{TRACE}-{SPAN}-01", PARENT),
        (f"00-{TRACE}-{SPAN}-00", Parent(PARENT.trace_id, PARENT.span_id, False)),
        (f"00-{TRACE}-{SPAN}-03", PARENT),  # a flag that is not known yet
        (f" 00-{TRACE}-{SPAN}-01 ", PARENT),
        (f"cc-{TRACE}-{SPAN}-01", PARENT),  # a version to come
        (f"cc-{TRACE}-{SPAN}-01-what-is-new", PARENT),
        (f"cc-{TRACE}-{SPAN}-01.what-is-new", None),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"00-{TRACE[:-1]}-{SPAN}-01", None),
        (f"0٠-{TRACE}-{SPAN}-01", None),
        ("", None),
        (b"\x00", None),
        (None, None),
    ],
)
def test_a_traceparent_is_taken_whole_or_not_at_all(
    traceparent: object, parent: Parent | None
) -> None:
    assert parent_of(traceparent) == parent


@pytest.mark.parametrize(
    ("tracestate", "state"),
    [("a=1,b=2", "a=1,b=2"), ("a=" + "1" * 511, ""), (b"a=1", ""), (None, "")],
)
def test_a_tracestate_goes_along_unless_it_is_too_long(tracestate: object, state: str) -> None:
    parent = parent_of(f"00-{TRACE}-{SPAN}-01", tracestate)
    assert parent is not None
    assert parent.state == state


@pytest.mark.parametrize("sampled", [True, False])
def test_what_is_written_is_read_again(sampled: bool) -> None:
    text = written(PARENT.trace_id, 7, sampled=sampled)
    assert parent_of(text) == Parent(PARENT.trace_id, 7, sampled)
