"""The transport's settings as grpc's channel arguments."""

from __future__ import annotations

from trivet.transport.options import MAX_METADATA_BYTES, Options

# Calls that came and that the event loop has not taken up yet. grpc ends whichever comes then with
# CANCELLED, by its default some of them from 1,000 on: of 2,000 calls at once 205 were lost. One
# takes 15 KiB until it is taken up, reset or not, hence 240 MiB at most.
MAX_WAITING_CALLS = 16_384


def channel_arguments(options: Options) -> dict[str, int]:
    """Every argument a server is made with. What is None is left to grpc."""
    keepalive = options.keepalive
    arguments = {
        "grpc.max_receive_message_length": options.max_message_bytes,
        # What a client may receive is for its own settings to bound.
        "grpc.max_send_message_length": -1,
        # Without it, a second server on the same port has to fail, not to take half of the callers.
        "grpc.so_reuseport": int(options.reuse_port),
        # From the one on grpc refuses calls at random, from the other on all: the same.
        "grpc.max_metadata_size": MAX_METADATA_BYTES,
        "grpc.absolute_max_metadata_size": MAX_METADATA_BYTES,
        # A level, not an algorithm: grpc chooses what the caller accepts, or sends it plain.
        "grpc.default_compression_level": int(options.compression),
        "grpc.max_concurrent_streams": options.max_concurrent_streams,
        # Else grpc counts calls that are just over and refuses, at the limit, callers who keep to
        # it: 187 of 800 calls of one busy client failed with UNAVAILABLE; without it, none.
        "grpc.http.overload_protection": 0,
        "grpc.server.max_pending_requests": MAX_WAITING_CALLS,
        "grpc.server.max_pending_requests_hard_limit": MAX_WAITING_CALLS,
        "grpc.keepalive_time_ms": keepalive.time_ms,
        "grpc.keepalive_timeout_ms": keepalive.timeout_ms,
        "grpc.keepalive_permit_without_calls": int(keepalive.permit_without_calls),
        "grpc.http2.max_pings_without_data": keepalive.max_pings_without_data,
        "grpc.http2.min_ping_interval_without_data_ms": (
            keepalive.min_recv_ping_interval_without_data_ms
        ),
        "grpc.http2.max_ping_strikes": keepalive.max_ping_strikes,
        "grpc.max_connection_age_ms": keepalive.max_connection_age_ms,
        "grpc.max_connection_age_grace_ms": keepalive.max_connection_age_grace_ms,
    }
    return {name: value for name, value in arguments.items() if value is not None}
