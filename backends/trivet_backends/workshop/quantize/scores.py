"""How near a variant's answers are to the source's, or to what people say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trivet_backends.workshop.finetune import metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """kept: the share of the source's accuracy that is left, what --min-accuracy is held against.

    details: what it was made of, by name.
    """

    kept: float
    details: dict[str, float]


def embeddings(source: np.ndarray, found: np.ndarray) -> Score:
    """float32 [texts, width] each. kept: the lower of mean cosine and unchanged neighbours.

    A text's neighbour is the other text whose source embedding is nearest by cosine.
    """
    ours, theirs = _unit(source), _unit(found)
    alike = cosines(source, found)
    details = {"mean_cosine": float(alike.mean()), "least_cosine": float(alike.min())}
    if len(source) > 1:
        details["neighbour_unchanged"] = float((_nearest(ours) == _nearest(theirs)).mean())
    kept = min(details["mean_cosine"], details.get("neighbour_unchanged", 1.0))
    return Score(kept=kept, details=details)


def agreement(source: Sequence[np.ndarray], found: Sequence[np.ndarray], *, whole: bool) -> Score:
    """Decisions (int64 [n] for each text) that are the same.

    whole: a text counts as one decision, right if all of its numbers are.
    """
    if whole:
        same = [bool((a == b).all()) for a, b in zip(source, found, strict=True)]
    else:
        same = list(np.concatenate(source) == np.concatenate(found))
    share = float(np.mean(same))
    return Score(kept=share, details={"agreement": share})


def held_against(source: Mapping[str, float], found: Mapping[str, float], metric: str) -> Score:
    """What both score on the same labelled rows; a source that is good for nothing keeps 0."""
    before, after = source[metric], found[metric]
    kept = after / before if before > 0 else 0.0
    others = {name: value for name, value in found.items() if name != metric}
    return Score(kept=kept, details={metric: after, f"source_{metric}": before, **others})


def numbers(source: np.ndarray, found: np.ndarray) -> Score:
    """Numbers for the same texts, float32 [texts] each: how far they rank alike."""
    kept = metrics.spearman(source, found)
    return Score(kept=kept, details={"spearman": kept})


def cosines(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float32 [pairs], of the rows of two arrays [pairs, width]."""
    products: np.ndarray = (_unit(ones) * _unit(others)).sum(axis=1)
    return products


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    unit: np.ndarray = np.nan_to_num(vectors) / lengths
    return unit


def _nearest(unit: np.ndarray) -> np.ndarray:
    """int64 [texts]: the place of each one's nearest other."""
    alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    nearest: np.ndarray = alike.argmax(axis=1)
    return nearest
