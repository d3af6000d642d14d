"""What the demo asks of the server, through the public client alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from trivet_client.client import Client
from trivet_client.demo.corpus import (
    LONE_TEXT,
    MASKED,
    QUERIES,
    SENTENCES,
    TOPICAL,
    TOPICS,
)
from trivet_client.values import Failure

Candidates = list[tuple[str, float]]

WARM_UP_CALLS = 5
LONE_CALLS = 50


def filled_masks(client: Client, top_k: int) -> list[tuple[str, list[Candidates]]]:
    """Each sentence with the candidates of its masks: (token, probability)."""
    answers = client.fill_mask(MASKED, top_k=top_k)
    return [
        (
            sentence,
            [[(c.token, c.probability) for c in mask.candidates] for mask in answer.masks],
        )
        for sentence, answer in zip(MASKED, answers, strict=True)
    ]


def nearest_sentences(client: Client, count: int) -> list[tuple[str, list[tuple[str, float]]]]:
    """Each query with its nearest sentences and their cosines, nearest first."""
    sentences = _unit(client.embed(SENTENCES).vectors)
    cosines = _unit(client.embed(QUERIES).vectors) @ sentences.T
    return [
        (query, [(SENTENCES[i], float(row[i])) for i in np.argsort(-row)[:count]])
        for query, row in zip(QUERIES, cosines, strict=True)
    ]


def scored_labels(client: Client) -> list[tuple[str, list[tuple[str, float]]]]:
    """Each sentence with the labels and their scores, the best first."""
    answers = client.zero_shot(TOPICAL, TOPICS)
    return [
        (sentence, [(one.label, one.score) for one in answer.labels])
        for sentence, answer in zip(TOPICAL, answers, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRun:
    """What a stream of texts took."""

    texts: int
    tokens: int
    shortest: int  # tokens
    longest: int  # tokens
    first_answer_s: float
    total_s: float
    overtaken: int  # texts that a later one was answered before
    batches: dict[int, int]  # rows of a batch -> how many such batches


def streamed(client: Client, texts: list[str], model: str, say: Callable[[str], None]) -> StreamRun:
    """Embed all texts on one stream. `model`: the encoder whose batches are counted."""
    before = batch_counts(client, model)
    order: list[int] = []
    tokens: list[int] = []
    started_s = time.perf_counter()
    first_answer_s = 0.0
    for index, answer in client.embed_stream(texts):
        if isinstance(answer, Failure):
            raise answer.error()
        if not order:
            first_answer_s = time.perf_counter() - started_s
        order.append(index)
        tokens.append(answer.cost.tokens)
        say(f"{len(order)} of {len(texts)} answers")
    total_s = time.perf_counter() - started_s
    after = batch_counts(client, model)
    return StreamRun(
        texts=len(order),
        tokens=sum(tokens),
        shortest=min(tokens),
        longest=max(tokens),
        first_answer_s=first_answer_s,
        total_s=total_s,
        overtaken=overtaken(order),
        batches={
            size: count - before.get(size, 0)
            for size, count in sorted(after.items())
            if count > before.get(size, 0)
        },
    )


def lone_latencies_ms(client: Client) -> list[float]:
    """Milliseconds of one caller's calls, one after the other, sorted."""
    taken = []
    for _ in range(WARM_UP_CALLS + LONE_CALLS):
        started_s = time.perf_counter()
        client.embed(LONE_TEXT)
        taken.append((time.perf_counter() - started_s) * 1e3)
    return sorted(taken[WARM_UP_CALLS:])


def median(values: list[float]) -> float:
    return statistics.median(values)


def batch_counts(client: Client, model: str) -> dict[int, int]:
    """How many batches of each size a model's versions executed so far."""
    counts: dict[int, int] = {}
    for version in client.statistics(model):
        for batch in version.batches:
            counts[batch.batch_size] = counts.get(batch.batch_size, 0) + batch.compute_infer.count
    return counts


def binned(batches: Mapping[int, int]) -> dict[str, int]:
    """Counts by batch size as a few bins that double: 1, 2, 3-4, 5-8, 9-16, ..."""
    bins: dict[str, int] = {}
    for size, count in sorted(batches.items()):
        top = 1 << (size - 1).bit_length()
        name = str(size) if top <= 2 else f"{top // 2 + 1}-{top}"
        bins[name] = bins.get(name, 0) + count
    return bins


def overtaken(order: list[int]) -> int:
    """How many of these answers came after the answer to a text sent later."""
    latest, count = -1, 0
    for index in order:
        count += index < latest
        latest = max(latest, index)
    return count


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1, whether or not the model normalises."""
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
