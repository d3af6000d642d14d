"""Options are told to grpc under the names that it reads."""

from __future__ import annotations

from trivet.transport.arguments import MAX_WAITING_CALLS, channel_arguments
from trivet.transport.options import MAX_METADATA_BYTES, Compression, Keepalive, Options


def test_every_option_has_its_argument() -> None:
    keepalive = Keepalive(
        time_ms=1,
        timeout_ms=2,
        permit_without_calls=False,
        max_pings_without_data=3,
        min_recv_ping_interval_without_data_ms=4,
        max_ping_strikes=5,
        max_connection_age_ms=6,
        max_connection_age_grace_ms=7,
    )
    options = Options(
        keepalive=keepalive,
        reuse_port=True,
        compression=Compression.MEDIUM,
        max_message_bytes=8,
        max_concurrent_streams=9,
    )
    assert channel_arguments(options) == {
        "grpc.max_receive_message_length": 8,
        "grpc.max_send_message_length": -1,
        "grpc.so_reuseport": 1,
        "grpc.max_metadata_size": MAX_METADATA_BYTES,
        "grpc.absolute_max_metadata_size": MAX_METADATA_BYTES,
        "grpc.default_compression_level": 2,
        "grpc.max_concurrent_streams": 9,
        "grpc.http.overload_protection": 0,
        "grpc.server.max_pending_requests": MAX_WAITING_CALLS,
        "grpc.server.max_pending_requests_hard_limit": MAX_WAITING_CALLS,
        "grpc.keepalive_time_ms": 1,
        "grpc.keepalive_timeout_ms": 2,
        "grpc.keepalive_permit_without_calls": 0,
        "grpc.http2.max_pings_without_data": 3,
        "grpc.http2.min_ping_interval_without_data_ms": 4,
        "grpc.http2.max_ping_strikes": 5,
        "grpc.max_connection_age_ms": 6,
        "grpc.max_connection_age_grace_ms": 7,
    }


def test_what_has_no_limit_is_left_to_grpc() -> None:
    told = channel_arguments(Options())
    assert not {name for name in told if "connection_age" in name or "concurrent" in name}
    assert told["grpc.so_reuseport"] == 0
