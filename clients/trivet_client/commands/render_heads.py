"""Labels, spans and answers for the eye."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np


def head_lines(outputs: Mapping[str, np.ndarray]) -> list[str] | None:
    """Lines for the outputs of a task with a trained head; None for other outputs."""
    for names, write in _KINDS:
        if all(name in outputs for name in names):
            columns = [outputs[name].ravel().tolist() for name in names]
            return list(write(*columns))
    return None


def _spans(
    labels: list[bytes], scores: list[float], spans: list[bytes], starts: list[int], ends: list[int]
) -> Iterator[str]:
    longest = max((len(label) for label in labels), default=0)
    for label, score, span, start, end in zip(labels, scores, spans, starts, ends, strict=True):
        if start >= 0:
            place = f"{start}-{end}"
            yield f"  {_word(label):{longest}}  {score:6.1%}  {place:>9}  {_word(span)}"


def _answers(
    answers: list[bytes], shares: list[float], starts: list[int], ends: list[int]
) -> Iterator[str]:
    for answer, share, start, end in zip(answers, shares, starts, ends, strict=True):
        if start >= 0:
            place = f"{start}-{end}"
            yield f"  {share:6.1%}  {place:>9}  {_word(answer)}"
    if all(start < 0 for start in starts):
        yield "  no answer"


def _labels(labels: list[bytes], scores: list[float]) -> Iterator[str]:
    longest = max((len(label) for label in labels), default=0)
    for label, score in zip(labels, scores, strict=True):
        yield f"  {_word(label):{longest}}  {score:.4f}"


def _word(element: bytes) -> str:
    return element.decode(errors="replace")


# The outputs that tell a kind of answer, and how it is written; the first that fits.
_KINDS = (
    (("LABEL", "SCORE", "SPAN", "START", "END"), _spans),
    (("ANSWER", "PROBABILITY", "START", "END"), _answers),
    (("LABEL", "SCORE"), _labels),
)
