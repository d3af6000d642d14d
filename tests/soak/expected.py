"""What tasks on text have to answer: asked one by one of a quiet server, before the load begins.

Company in a batch changes sums of FP32 in their last digits, hence the tolerances. What is asked
again when the load is over has to be the same, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.harness.texts import mixed_lengths, text_of
from tests.soak.tally import Wrong
from trivet_client import AsyncClient, FilledText
from trivet_client.head_values import ClassifiedText
from trivet_client.vector_values import LabelledText, TokenizedText

LONGEST = 200  # tokens; two cores have other things to do
VECTOR_TOLERANCE = 1e-4  # of a coordinate of a vector of length 1
SCORE_TOLERANCE = 1e-3  # of a probability or a score
TOP = 5
LABELS = ("weather", "houses and families", "money", "music")
TINY = ("the cat sat on the mat", "ada love ada love", "london paris", "the café", "a b c 1 2 3")

EMBEDDED = tuple(text_of(min(n, LONGEST), i) for i, n in enumerate(mixed_lengths(24, seed=1)))
MASKED = tuple(
    f"{text_of(min(n, LONGEST) // 2 + 3, i)} [MASK] {text_of(min(n, LONGEST) // 2 + 3, i + 50)}"
    for i, n in enumerate(mixed_lengths(10, seed=2))
)
LABELLED = EMBEDDED[:8]
CLASSIFIED = tuple(f"{one} {two}" for one in TINY for two in TINY)
TOKENIZED = (*EMBEDDED[:12], "Café naïve 東京 🙂 don't", "x" * 120, "[MASK] [CLS]", "½ ² ™")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Answers in the order of the texts above."""

    embedded: Sequence[np.ndarray]
    masked: Sequence[FilledText]
    labelled: Sequence[LabelledText]
    classified: Sequence[ClassifiedText]
    tokenized: Sequence[TokenizedText]

    def check_embedding(self, place: int, vector: np.ndarray) -> None:
        """Raises Wrong, as all of these do."""
        check_close(vector, self.embedded[place], VECTOR_TOLERANCE, f"embedding of text {place}")

    def check_masks(self, place: int, found: FilledText) -> None:
        """The same positions and probabilities, and of each token that both name the same one."""
        known = self.masked[place]
        what = f"masks of text {place}"
        if [mask.position for mask in found.masks] != [mask.position for mask in known.masks]:
            raise Wrong(f"{what}: {found.masks} instead of {known.masks}")
        for mask, due in zip(found.masks, known.masks, strict=True):
            check_close(
                np.array([one.probability for one in mask.candidates]),
                np.array([one.probability for one in due.candidates]),
                SCORE_TOLERANCE,
                what,
            )
            _check_named(
                {one.token: one.probability for one in mask.candidates},
                {one.token: one.probability for one in due.candidates},
                what,
            )

    def check_labels(self, place: int, found: LabelledText) -> None:
        self._check_scores(found.labels, self.labelled[place].labels, f"labels of text {place}")

    def check_classes(self, place: int, found: ClassifiedText) -> None:
        self._check_scores(found.labels, self.classified[place].labels, f"classes of text {place}")

    def check_tokens(self, place: int, found: TokenizedText) -> None:
        if found.tokens != self.tokenized[place].tokens:
            raise Wrong(f"tokens of text {place}: {found.tokens}")

    @staticmethod
    def _check_scores(found: Sequence[object], due: Sequence[object], what: str) -> None:
        ours, known = _scores(found), _scores(due)
        if set(ours) != set(known):
            raise Wrong(f"{what}: {sorted(ours)} instead of {sorted(known)}")
        _check_named(ours, known, what)


async def ask_alone(client: AsyncClient) -> Expected:
    """Ask for everything, one call after the other."""
    return Expected(
        embedded=[(await client.embed(text)).vector.copy() for text in EMBEDDED],
        masked=[await client.fill_mask(text, top_k=TOP) for text in MASKED],
        labelled=[await client.zero_shot(text, LABELS) for text in LABELLED],
        classified=[await client.classify(text) for text in CLASSIFIED],
        tokenized=[await client.tokenize(text) for text in TOKENIZED],
    )


def compare(before: Expected, after: Expected) -> list[str]:
    """What a quiet server answers otherwise than it did before the load."""
    faults = []
    checks: Sequence[tuple[Callable[..., None], Sequence[object]]] = (
        (before.check_embedding, after.embedded),
        (before.check_masks, after.masked),
        (before.check_labels, after.labelled),
        (before.check_classes, after.classified),
        (before.check_tokens, after.tokenized),
    )
    for check, answers in checks:
        for place, answer in enumerate(answers):
            try:
                check(place, answer)
            except Wrong as wrong:
                faults.append(f"when the load was over: {wrong}")
    return faults


def check_close(found: np.ndarray, due: np.ndarray, tolerance: float, what: str) -> None:
    """Raises Wrong for another shape, or a value that is further off than that."""
    if found.shape != due.shape:
        raise Wrong(f"{what}: shape {found.shape} instead of {due.shape}")
    # Written so that NaN is wrong.
    if not (np.abs(found.astype(float) - due) <= tolerance).all():
        off = np.abs(found.astype(float) - due).max()
        raise Wrong(f"{what}: off by {off}, more than {tolerance}")


def _check_named(found: dict[str, float], due: dict[str, float], what: str) -> None:
    for name in found.keys() & due.keys():
        if not abs(found[name] - due[name]) <= SCORE_TOLERANCE:
            raise Wrong(f"{what}: {name!r} has {found[name]} instead of {due[name]}")
    # One may take the other's place among the best only where they are as good as equal.
    last = min(due.values(), default=0.0)
    for name in found.keys() - due.keys():
        if abs(found[name] - last) > SCORE_TOLERANCE:
            raise Wrong(f"{what}: {name!r} should not be there with {found[name]}")


def _scores(labels: Sequence[object]) -> dict[str, float]:
    return {one.label: one.score for one in labels}  # type: ignore[attr-defined]
