"""512 mixed texts from 64 callers: against the bare engine, and against simpler servers."""

from __future__ import annotations

from contextlib import ExitStack

from tests.bench.callers import Callers, Padding, check_answers
from tests.bench.results import Row, at_least, at_most, ratios
from tests.bench.rivals import FIFO_8, LENGTH_AWARE, ONE_BY_ONE, served
from tests.bench.setting import CALLERS, Contestant, Setting, say, timed_rounds
from tests.bench.subjects import Subject
from trivet_backends.onnxruntime.bare import BareEngine

BARE, STREAM = "bare engine", "on one stream"
CHECKED_TEXTS = 32
SAME = 0.99999  # cosine between batches of one FP32 engine


def rows(setting: Setting) -> list[Row]:
    return [row for subject in setting.subjects for row in _rows(subject, setting)]


def _rows(subject: Subject, setting: Setting) -> list[Row]:
    texts, name = setting.texts, subject.name
    engine = BareEngine(subject.graph, subject.tokenizer)
    say(f"{name}: searching the bare engine's best batching and thread split")
    split = engine.best_split(texts)
    setting.notes.append(f"{name}: the bare engine's best is {split}")
    say(setting.notes[-1])
    with ExitStack() as stack:
        addresses = {}
        for rival in (LENGTH_AWARE, FIFO_8, ONE_BY_ONE):
            server = stack.enter_context(served(rival, subject, setting.scratch))
            addresses[rival.name] = server.address
        ours = addresses[LENGTH_AWARE.name]
        few = texts[:CHECKED_TEXTS]
        check_answers(ours, few, engine.embed(few, split), SAME)
        padding = Padding(ours, subject.encoder, LENGTH_AWARE.name)
        contestants: dict[str, Contestant] = {BARE: lambda texts: engine.embed(texts, split)}
        callers = stack.enter_context(Callers())
        contestants |= {rival: callers.unary(address) for rival, address in addresses.items()}
        contestants[STREAM] = callers.streamed(ours)
        rounds = setting.times(subject.rounds)
        seconds = timed_rounds(contestants, texts, rounds, name, padding.look)
    by_length = seconds[LENGTH_AWARE.name]
    return [
        Row(
            f"{name}, {CALLERS} callers: speed, of the bare engine's best",
            ratios(seconds[BARE], by_length),
            at_least(0.95),
        ),
        Row(
            f"{name}, {CALLERS} texts in flight {STREAM}: the same",
            ratios(seconds[BARE], seconds[STREAM]),
            at_least(0.95),
        ),
        Row(
            f"{name}: times as fast as {FIFO_8.name}",
            ratios(seconds[FIFO_8.name], by_length),
            at_least(2.3),
        ),
        Row(
            f"{name}: times as fast as {ONE_BY_ONE.name}",
            ratios(seconds[ONE_BY_ONE.name], by_length),
            at_least(1.03),
        ),
        Row(
            f"{name}: padding, % of the tokens computed",
            [100 * ratio for ratio in padding.ratios],
            at_most(15),
        ),
        Row(
            f"{name}: CPU of the {CALLERS} callers, % of all cores, missing in the server",
            [100 * share for share in callers.busy[len(addresses) :: len(addresses)]],
        ),
        Row(f"{name}: tokens per second", [setting.tokens / value for value in by_length]),
    ]
