"""Parting what is learned from into training and validation, and judging the labels of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.finetune.examples import Example, Labelled, MultiLabelled, Tagged
from trivet_backends.workshop.finetune.faults import LineFaults

# A label is called rare if it has less than this share of the most frequent one's rows.
RARE = 0.2
_MOST_LABELS_TOLD = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The rows to learn from, and those to be judged by."""

    training: Sequence[Example]
    validation: Sequence[Example]


def split(examples: Sequence[Example], share: float, seed: int) -> Parts:
    """Part the rows by chance, a label's rows in the same share; both keep the file's order.

    share: of the validation, between 0 and 1. The same seed parts the same rows in the same way.
    Raises InvalidConfig if a part would be empty.
    """
    rng = np.random.default_rng(seed)
    groups: dict[str, list[int]] = {}
    for place, group in enumerate(_groups(examples)):
        groups.setdefault(group, []).append(place)
    held: set[int] = set()
    for places in (groups[key] for key in sorted(groups)):
        count = round(len(places) * share)
        held.update(places[i] for i in rng.permutation(len(places))[:count])
    if not held or len(held) == len(examples):
        cure = "give more rows, another --validation-share, or --validation FILE"
        found = f"{len(examples)} rows cannot be parted with a share of {share}"
        raise InvalidConfig([Fault("--validation-share", found, cure)])
    return Parts(
        training=[example for i, example in enumerate(examples) if i not in held],
        validation=[example for i, example in enumerate(examples) if i in held],
    )


def _groups(examples: Sequence[Example]) -> Iterator[str]:
    """The label that each row is parted by: of several the rarest, so that no part lacks it."""
    counts = Counter(label for label, _ in _labels_with_lines(examples))
    for example in examples:
        match example:
            case Labelled():
                yield example.label
            case MultiLabelled(labels=labels):
                yield min(labels, key=lambda label: (counts[label], label), default="")
            case _:
                yield ""


def labels_of(training: Sequence[Example], wanted: Sequence[str], file: str) -> tuple[str, ...]:
    """The labels of the head, in order: those wanted, else those of the training rows, sorted.

    Raises InvalidConfig for a label that is not wanted, with its line, and if there is but one.
    """
    found: dict[str, int] = {}  # the first line of each
    for label, line in _labels_with_lines(training):
        found.setdefault(label, line)
    faults = LineFaults(file)
    if wanted:
        strangers = sorted((line, label) for label, line in found.items() if label not in wanted)
        for line, label in strangers:
            faults.add(line, f"the label '{label}' is not in --labels", "add it there, or mend it")
        faults.refuse()
    labels = tuple(wanted) or tuple(sorted(found))
    if len(labels) < 2:
        cure = "give rows of at least two labels"
        what = f"all rows are labelled '{labels[0]}'" if labels else "no row has a label"
        raise InvalidConfig([Fault(file, what, cure)])
    return labels


def check_known(validation: Sequence[Example], labels: Sequence[str], file: str) -> None:
    """Raise InvalidConfig for each label of the validation that no training row has."""
    faults, known = LineFaults(file), set(labels)
    for label, line in _labels_with_lines(validation):
        if label not in known:
            known.add(label)  # told once
            cure = f"mend it, or add training rows with it; known are {', '.join(labels)}"
            faults.add(line, f"the label '{label}' is in no training row", cure)
    faults.refuse()


def _labels_with_lines(examples: Iterable[Example]) -> Iterator[tuple[str, int]]:
    """Every label with the line it is on, in the file's order."""
    for example in examples:
        match example:
            case Labelled():
                yield example.label, example.line
            case MultiLabelled():
                yield from ((label, example.line) for label in example.labels)
            case Tagged():
                yield from zip(example.tags, example.lines, strict=True)


def balance(examples: Sequence[Example], labels: Sequence[str]) -> Mapping[str, int]:
    """How many rows (words, for tags) each label has, in the order of the labels."""
    counts = Counter(label for label, _ in _labels_with_lines(examples))
    return {label: counts[label] for label in labels}


def balance_told(counts: Mapping[str, int], *, balanced: bool) -> list[str]:
    """What a person should know of the labels' balance, in lines.

    balanced: whether the loss makes up for it.
    """
    total, most = sum(counts.values()), max(counts.values())
    shown = [f"{label} {n:,} ({n / total:.0%})" for label, n in counts.items()]
    if len(shown) > _MOST_LABELS_TOLD:
        shown = [*shown[:_MOST_LABELS_TOLD], f"and {len(shown) - _MOST_LABELS_TOLD} more"]
    lines = [f"labels: {', '.join(shown)}"]
    rare = [label for label, n in counts.items() if n < RARE * most and label != "O"]
    if rare and not balanced:
        few = ", ".join(rare[:_MOST_LABELS_TOLD])
        lines.append(
            f"imbalance: less than a fifth of the most frequent label's rows: {few}; "
            "accuracy says little of them, macro_f1 more; --balance weighs them up"
        )
    return lines


def positive_weights(counts: Mapping[str, int], rows: int) -> np.ndarray:
    """float32 [labels]: rows without the label for each that has it, for many labels per text."""
    numbers = np.array([max(count, 1) for count in counts.values()], np.float64)
    weights: np.ndarray = (np.maximum(rows - numbers, 1) / numbers).astype(np.float32)
    return weights


def class_weights(counts: Mapping[str, int]) -> np.ndarray:
    """float32 [labels]: inverse to the labels' counts, 1 on average over the rows."""
    numbers = np.array([max(count, 1) for count in counts.values()], np.float64)
    weights: np.ndarray = (numbers.sum() / (len(numbers) * numbers)).astype(np.float32)
    return weights
