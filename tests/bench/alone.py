"""One caller alone: what the server adds to the engine's latency."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from tests.bench.results import Row, at_most
from tests.bench.rivals import LENGTH_AWARE, served
from tests.bench.setting import PAUSE_S, Setting, say
from tests.bench.subjects import Subject
from tests.harness.texts import text_of
from trivet_backends.onnxruntime.bare import BareEngine, cores
from trivet_client import Client

TOKENS = 20
BLOCKS = 3  # for every round of the subject
BLOCK_S = 0.3  # of calls


def rows(setting: Setting) -> list[Row]:
    return [_row(subject, setting) for subject in setting.subjects]


def _row(subject: Subject, setting: Setting) -> Row:
    """Median through the server minus median of the engine with all cores, block by block."""
    engine, text = BareEngine(subject.graph, subject.tokenizer), text_of(TOKENS)
    added_ms = []
    with (
        served(LENGTH_AWARE, subject, setting.scratch) as server,
        Client(server.address) as client,
    ):
        for _ in range(BLOCKS * setting.times(5)):
            bare = _median_s(lambda: engine.embed_one(text, cores()))
            ours = _median_s(lambda: client.embed([text]))
            added_ms.append((ours - bare) * 1e3)
    say(f"{subject.name}: one caller alone waits {ours * 1e3:.1f} ms, {bare * 1e3:.1f} without us")
    what = f"{subject.name}, one caller, {TOKENS} tokens: median latency over the bare engine's, ms"
    return Row(what, added_ms, at_most(1.0))


def _median_s(run: Callable[[], object]) -> float:
    time.sleep(PAUSE_S)
    run()  # the first after a pause finds cold caches
    end_s, seconds = time.perf_counter() + BLOCK_S, []
    while time.perf_counter() < end_s:
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
