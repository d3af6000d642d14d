"""The transport that servers of this process use in a test: each test of a folder on each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from trivet.transport.options import Transport

_chosen = Transport.GRPCIO

# How many processes take connections in every test: FRONTEND_PROCESSES=2 tries them all in front.
_processes = int(os.environ.get("FRONTEND_PROCESSES", "1"))


def chosen() -> Transport:
    """What a test's servers are to use."""
    return _chosen


def chosen_processes() -> int:
    """How many processes of a test's servers are to take connections."""
    return _processes


@contextmanager
def serving_on(transport: Transport, processes: int | None = None) -> Iterator[Transport]:
    """Choose until the block ends. processes: None leaves their number as it is."""
    global _chosen, _processes
    before = _chosen, _processes
    _chosen, _processes = transport, processes or _processes
    try:
        yield transport
    finally:
        _chosen, _processes = before
