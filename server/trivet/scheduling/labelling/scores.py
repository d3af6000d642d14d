"""From how alike vectors are to scores of labels. Pure.

Vectors are of length one, so that their products are cosines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Scored:
    """One label: its score, 0 to 1, and the cosine it was made of."""

    label: str
    score: float
    similarity: float


def unit(vector: np.ndarray) -> np.ndarray:
    """A copy of length one, float32; a zero vector stays zero."""
    wide = vector.astype(np.float64)
    scaled: np.ndarray = (wide / max(float(np.linalg.norm(wide)), 1e-12)).astype(np.float32)
    return scaled


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Of two vectors of length one; rounding does not lead beyond -1 and 1."""
    return float(np.clip(first @ second, -1, 1))


def zero_shot(
    vector: np.ndarray,
    labels: Sequence[str],
    hypotheses: np.ndarray,
    *,
    temperature: float,
    multi_label: bool,
) -> list[Scored]:
    """Labels by the cosine of the text with each one's hypothesis, the best first.

    hypotheses: [labels, width]. One label per text: softmax of cosines over temperature; several:
    each cosine by itself, 0 where it is negative.
    """
    cosines = np.clip(hypotheses @ vector, -1, 1)
    scores = np.maximum(cosines, 0) if multi_label else _softmax(cosines / temperature)
    return _ranked(labels, scores, cosines)


def nearest_centroid(
    vector: np.ndarray, examples: np.ndarray, labels: Sequence[str], *, temperature: float
) -> list[Scored]:
    """Labels by the cosine with the mean of each one's examples, the best first.

    examples: [examples, width], of which `labels` tells the label. Scores as in `zero_shot`.
    Source: Snell et al. 2017 (Prototypical Networks), with cosines in place of distances.
    """
    places = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    members = np.array([places[label] for label in labels])
    order = np.argsort(members, kind="stable")
    starts = np.searchsorted(members[order], np.arange(len(places)))
    sums = np.add.reduceat(examples[order].astype(np.float64), starts, axis=0)
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    centroids = (sums / lengths).astype(np.float32)  # a mean's direction is its sum's
    names = list(places)
    return zero_shot(vector, names, centroids, temperature=temperature, multi_label=False)


def nearest_neighbors(
    vector: np.ndarray,
    examples: np.ndarray,
    labels: Sequence[str],
    *,
    neighbors: int,
    temperature: float,
) -> list[Scored]:
    """Labels by the votes of the nearest examples, the best first.

    Each votes with its share of the softmax of their cosines over temperature; a label that none of
    them has gets 0. The similarity told is that of the label's nearest example.
    """
    cosines = np.clip(examples @ vector, -1, 1)
    nearest = np.argsort(-cosines, kind="stable")[:neighbors]
    votes = dict.fromkeys(labels, 0.0)
    for place, share in zip(nearest, _softmax(cosines[nearest] / temperature), strict=True):
        votes[labels[place]] += float(share)
    best = dict.fromkeys(labels, -1.0)
    for similarity, label in zip(cosines.tolist(), labels, strict=True):
        best[label] = max(best[label], similarity)
    return _ranked(list(votes), np.array(list(votes.values())), np.array(list(best.values())))


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values.astype(np.float64) - values.max())
    shares: np.ndarray = powers / powers.sum()
    return shares


def _ranked(labels: Sequence[str], scores: np.ndarray, cosines: np.ndarray) -> list[Scored]:
    """The highest score first, then the highest cosine; of equals, the one named first."""
    order = np.lexsort((np.arange(len(labels)), -cosines, -scores))
    return [Scored(labels[i], float(scores[i]), float(cosines[i])) for i in order]
