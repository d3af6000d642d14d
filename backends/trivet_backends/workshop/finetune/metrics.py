"""How good answers are, and the file that keeps it. Pure numpy; scores are shares from 0 to 1, or
correlations from -1 to 1."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

Scores = Mapping[str, float]


def classification(wanted: np.ndarray, found: np.ndarray, labels: int) -> Scores:
    """wanted, found: int [rows], labels' places. macro_f1: over the labels that are wanted."""
    scores = [_f1_of(wanted == label, found == label) for label in range(labels)]
    present = [scores[label] for label in range(labels) if (wanted == label).any()]
    return {"accuracy": float((wanted == found).mean()), "macro_f1": float(np.mean(present))}


def multi_label(wanted: np.ndarray, found: np.ndarray) -> Scores:
    """wanted, found: bool [rows, labels]. micro_f1: over all choices; macro_f1: the labels' mean,
    of those that are wanted. exact_match: rows that are right in all labels."""
    pairs = [(wanted[:, label], found[:, label]) for label in range(wanted.shape[1])]
    present = [_f1_of(ours, theirs) for ours, theirs in pairs if ours.any()]
    return {
        "exact_match": float((wanted == found).all(axis=1).mean()),
        "macro_f1": float(np.mean(present)) if present else 1.0,
        "micro_f1": _f1_of(wanted, found),
    }


def regression(wanted: np.ndarray, found: np.ndarray) -> Scores:
    """wanted, found: float [rows]. pearson: how they lie on a line; spearman: how they rank."""
    return {"pearson": pearson(wanted, found), "spearman": spearman(wanted, found)}


def pearson(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of numbers; 0 where all of one are equal."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of ranks, equal numbers sharing theirs; 0 where all of one are equal."""
    return pearson(_ranks(one), _ranks(other))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def _f1_of(wanted: np.ndarray, found: np.ndarray) -> float:
    return f1(int((wanted & found).sum()), int(found.sum()), int(wanted.sum()))


def f1(right: int, found: int, wanted: int) -> float:
    """The harmonic mean of precision and recall; 1 where nothing is wanted and nothing found."""
    return 2 * right / (found + wanted) if found + wanted else 1.0


def tagging(wanted: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> Scores:
    """Tags by sentence. f1: of whole entities if the tags are B-, I-; else of tags other than O.

    An entity is right if its ends and its type are. Source: Tjong Kim Sang & De Meulder 2003.
    """
    pairs = [pair for row in zip(wanted, found, strict=True) for pair in zip(*row, strict=True)]
    right = total_found = total_wanted = 0
    for one, other in zip(wanted, found, strict=True):
        ours, theirs = set(entities(one)), set(entities(other))
        right += len(ours & theirs)
        total_wanted, total_found = total_wanted + len(ours), total_found + len(theirs)
    return {
        "accuracy": sum(a == b for a, b in pairs) / max(1, len(pairs)),
        "f1": f1(right, total_found, total_wanted),
    }


def entities(tags: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Each entity as (first, end, type). B- begins one, and so does I- of another type.

    A tag without B- or I- that is not O is an entity of one word.
    """
    first, kind = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-") if tag[:2] in ("B-", "I-") else ("B", "", tag)
        name = "" if tag == "O" else name
        if kind and not (prefix == "I" and name == kind):
            yield first, place, kind
            kind = ""
        if name and not kind:
            first, kind = place, name


def answering(wanted: Sequence[str], found: Sequence[str]) -> Scores:
    """Answers as texts, "" for none. As SQuAD 2.0's evaluation has it: case and articles aside."""
    pairs = [(_plain(one), _plain(other)) for one, other in zip(wanted, found, strict=True)]
    return {
        "exact_match": sum(one == other for one, other in pairs) / len(pairs),
        "f1": sum(_overlap(one, other) for one, other in pairs) / len(pairs),
    }


def _plain(text: str) -> list[str]:
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def _overlap(wanted: list[str], found: list[str]) -> float:
    if not wanted or not found:
        return float(wanted == found)
    return f1(sum((Counter(wanted) & Counter(found)).values()), len(found), len(wanted))


def append_line(path: Path, values: Mapping[str, object]) -> None:
    """Add one line to a file of metrics."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def read_lines(path: Path) -> list[dict[str, float | str]]:
    """All whole lines of a file of metrics; a last line that a kill cut short is left out."""
    try:
        raw = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in raw.splitlines(keepends=True) if line.endswith("\n")]


def keep_until(path: Path, step: int) -> None:
    """Take back what was written after a step: a resumed run writes it again."""
    kept = [line for line in read_lines(path) if float(line["step"]) <= step]
    fresh = path.with_name(f".{path.name}")
    fresh.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    fresh.replace(path)
