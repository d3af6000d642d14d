"""One more caller, beside a load and after it: is the server there, and how soon is it its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

from tests.harness.texts import text_of
from trivet_client import Client, TrivetError
from trivet_client.bench.summary import Latency

PAUSE_S = 0.02  # between two questions
GIVE_UP_S = 30.0
TOKENS = 20


@contextmanager
def asked_after(address: str) -> Iterator[list[float]]:
    """Asks after the server's health while the block runs; milliseconds of each answer."""
    over, took_ms = Event(), list[float]()

    def ask() -> None:
        with Client(address) as client:
            while not over.wait(PAUSE_S):
                started = time.perf_counter()
                client.server_ready()
                took_ms.append((time.perf_counter() - started) * 1e3)

    thread = Thread(target=ask)
    thread.start()
    try:
        yield took_ms
    finally:
        over.set()
        thread.join()


def recovered_s(address: str, model: str, quick_ms: float) -> float:
    """Seconds from now until a caller is answered, and within so many milliseconds."""
    begun = time.perf_counter()
    with Client(address) as client:
        while (now := time.perf_counter()) < begun + GIVE_UP_S:
            try:
                client.embed([text_of(TOKENS)], model=model)
            except TrivetError:
                continue
            if (time.perf_counter() - now) * 1e3 <= quick_ms:
                return time.perf_counter() - begun
    raise RuntimeError(f"no answer came within {quick_ms:.0f} ms, {GIVE_UP_S:.0f} s after the load")


def latency_of(took_ms: Sequence[float]) -> Latency:
    """Raises RuntimeError for none."""
    if not took_ms:
        raise RuntimeError("nobody was answered")
    ranked = sorted(took_ms)

    def rank(share: float) -> float:
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))]

    return Latency(p50_ms=rank(0.5), p90_ms=rank(0.9), p99_ms=rank(0.99), max_ms=ranked[-1])
