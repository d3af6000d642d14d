"""Headers and trailers as gRPC writes them."""

from __future__ import annotations

import pytest

from trivet.errors import Code, InvalidInput, ResourceExhausted, ServeError
from trivet.transport.h2corn import metadata
from trivet.transport.options import MAX_METADATA_BYTES


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(b"2H", 7200), (b"3M", 180), (b"5S", 5), (b"99999999m", 99_999.999), (b"7u", 7e-6)],
)
def test_a_timeout_has_a_unit(timeout: bytes, seconds: float) -> None:
    assert metadata.seconds(timeout) == pytest.approx(seconds)


@pytest.mark.parametrize("timeout", [b"", b"S", b"5", b"-1S", b"1.5S", b"123456789S", b"5s"])
def test_a_timeout_that_is_none_is_refused(timeout: bytes) -> None:
    with pytest.raises(ServeError, match="grpc-timeout"):
        metadata.seconds(timeout)


def test_binary_values_come_with_padding_or_without_and_the_last_of_a_name_counts() -> None:
    headers = [
        (b"content-type", b"application/grpc"),
        (b"grpc-timeout", b"5S"),
        (b"who", b"me"),
        (b"who", b"you"),
        (b"a-bin", b"AAE="),
        (b"b-bin", b"AAE"),
        (b"c-bin", b"AA,AAE"),
    ]
    binary = {"a-bin": b"\0\1", "b-bin": b"\0\1", "c-bin": b"\0\1"}
    assert metadata.read(headers) == {"who": "you", **binary}


def test_what_is_not_base64_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'x-bin' is not base64"):
        metadata.read([(b"x-bin", b"*")])


def test_a_status_is_told_in_ascii() -> None:
    told = metadata.status(Code.NOT_FOUND, "100 % é\n", [("raw-bin", b"\0\1"), ("cost", "3")])
    assert told == [
        (b"grpc-status", b"5"),
        (b"grpc-message", b"100 %25 %C3%A9%0A"),
        (b"raw-bin", b"AAE"),
        (b"cost", b"3"),
    ]


def test_metadata_has_a_limit() -> None:
    metadata.check_size([(b"k", b"v" * (MAX_METADATA_BYTES - 1))])
    with pytest.raises(ResourceExhausted, match=r"16385 vs\. 16384"):
        metadata.check_size([(b"k", b"v" * MAX_METADATA_BYTES)])
