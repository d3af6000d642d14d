"""Status texts fit into the trailers."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import Draining
from trivet.frontend.status_details import status_details
from trivet.transport.texts import MAX_DETAILS_BYTES, bounded


def sent_bytes(text: str) -> int:
    printable = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
    return len(quote(text, safe=printable))


@given(st.text(min_size=1, max_size=5), st.integers(1, 5000))
def test_a_text_is_whole_or_cut_where_it_would_not_fit(piece: str, times: int) -> None:
    text = piece * times
    told = bounded(text)
    assert sent_bytes(told) <= MAX_DETAILS_BYTES
    if told != text.encode("utf-8", "replace").decode():
        assert told.endswith("…")
        assert sent_bytes(text) > MAX_DETAILS_BYTES - sent_bytes("…")
        assert sent_bytes(told) > MAX_DETAILS_BYTES - 24  # no more is cut than has to be


def test_the_longest_text_and_its_details_fit_into_trailers_together() -> None:
    longest = Draining("€" * 5000)
    details = status_details(longest)
    assert details is not None
    others = 512  # bytes of further headers, where there are no messages before the trailers
    assert len(details) + sent_bytes(bounded(longest.message)) + others <= 8 * 1024


def test_a_text_that_no_utf8_can_hold_is_mended() -> None:
    assert bounded("path \udcff") == "path ?"
