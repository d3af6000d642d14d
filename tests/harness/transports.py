"""The transport that servers of this process use in a test: each test of a folder on each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trivet.transport.options import Transport

_chosen = Transport.GRPCIO


def chosen() -> Transport:
    """What a test's servers are to use."""
    return _chosen


@contextmanager
def serving_on(transport: Transport) -> Iterator[Transport]:
    """Choose until the block ends."""
    global _chosen
    before, _chosen = _chosen, transport
    try:
        yield transport
    finally:
        _chosen = before
