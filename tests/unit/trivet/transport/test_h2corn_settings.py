"""What h2corn cannot do is refused where somebody relies on it."""

from __future__ import annotations

import pytest

from trivet.errors import InvalidConfig
from trivet.transport.h2corn.settings import config
from trivet.transport.options import Keepalive, Options


@pytest.mark.parametrize(
    ("keepalive", "flag"),
    [
        (Keepalive(max_connection_age_ms=1000), "--grpc-max-connection-age"),
        (Keepalive(max_connection_age_grace_ms=1000), "--grpc-max-connection-age-grace"),
        (Keepalive(max_ping_strikes=2), "--grpc-http2-max-ping-strikes"),
    ],
)
def test_a_flag_that_would_be_missed_is_refused_with_a_cure(
    keepalive: Keepalive, flag: str
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        config(Options(keepalive=keepalive), listener=3)
    assert refused.value.message == (
        f"{flag}: the transport h2corn cannot do that;"
        " leave it out, or serve with --transport grpcio"
    )


def test_calls_on_one_connection_are_limited_only_if_asked() -> None:
    assert config(Options(), listener=3).max_concurrent_streams == 2**32 - 1
    assert config(Options(max_concurrent_streams=7), listener=3).max_concurrent_streams == 7
