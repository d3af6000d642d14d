"""The heads a checkpoint may have beside the masked language model's: what config.json says of
them, which tensors they are, and their labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import BertConfig, read_object
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.tensor_files import StoredTensor

# What transformers calls a BERT with each head, in the `architectures` of config.json.
ARCHITECTURES: Mapping[str, Task] = {
    "BertForSequenceClassification": Task.CLASSIFY,
    "BertForTokenClassification": Task.TAG_TOKENS,
    "BertForQuestionAnswering": Task.ANSWER,
    "BertForNextSentencePrediction": Task.NEXT_SENTENCE,
}
_TWO = 2  # begin and end of an answer; next sentence or not


class Scoring(StrEnum):
    """How logits become scores."""

    SOFTMAX = "softmax"  # one label per text
    SIGMOID = "sigmoid"  # any number of labels per text
    NONE = "none"  # a regression: the number itself


_SCORING: Mapping[str, Scoring] = {  # by problem_type, as transformers trains it
    "single_label_classification": Scoring.SOFTMAX,
    "multi_label_classification": Scoring.SIGMOID,
    "regression": Scoring.NONE,
}


_WRITTEN = re.compile(r'"scoring"\s*value\s*:?\s*{\s*string_value\s*:\s*"(\w+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of a model that was trained for one task.

    dense: the canonical name of its last layer; pooled: whether that sees the pooled first token
    instead of all tokens.
    outputs: how many numbers it gives; None: as many as there are labels.
    """

    dense: str
    pooled: bool
    outputs: int | None = None


HEADS: Mapping[Task, Head] = {
    Task.CLASSIFY: Head(dense=names.CLASSIFIER, pooled=True),
    Task.TAG_TOKENS: Head(dense=names.CLASSIFIER, pooled=False),
    Task.ANSWER: Head(dense=names.SPANS, pooled=False, outputs=_TWO),
    Task.NEXT_SENTENCE: Head(dense=names.NEXT_SENTENCE, pooled=True, outputs=_TWO),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """names: in the order of the head's outputs. scoring: how logits become scores."""

    names: tuple[str, ...]
    scoring: Scoring


def told_task(folder: Path) -> Task | None:
    """The task of the head that config.json names; None for another architecture, or no file."""
    faults: list[Fault] = []
    raw = read_object(folder / "config.json", "", faults)
    return ARCHITECTURES.get(_architecture(raw)) if raw else None


def head_shapes(
    folder: Path,
    task: Task,
    config: BertConfig,
    found: Mapping[str, StoredTensor],
    faults: list[Fault],
) -> dict[str, tuple[int, ...]]:
    """The tensors of the task's head, by canonical name; a head that is not there is a fault."""
    head, where = HEADS[task], folder.name
    last = found.get(f"{head.dense}.weight")
    told = told_task(folder)
    if last is None or (told is not None and told is not task):
        what = f"has no head for {task}" if last is None else f"has a head for {told}, not {task}"
        cure = f"build it with --task {told or Task.EMBED}, or give the checkpoint trained for it"
        faults.append(Fault(where, what, cure))
        return {}
    count = head.outputs or last.shape[0]
    shapes = names.dense_shapes(head.dense, count, config.hidden_size)
    if head.pooled:
        shapes |= names.dense_shapes(names.POOLER, config.hidden_size, config.hidden_size)
    return shapes


def read_labels(folder: Path, count: int, file: Path | None) -> Labels:
    """The labels of a head with `count` outputs, from `file` or else from config.json.

    Raises InvalidConfig: none there, more or fewer than outputs, one twice, one without a word.
    """
    faults: list[Fault] = []
    where = f"{folder.name}/config.json"
    raw = read_object(folder / "config.json", where, faults) or {}
    if file is not None:
        where, found = str(file), _labels_of_file(file, faults)
    else:
        where, found = f"{where}: id2label", _id2label(raw, where, faults)
    if not faults:
        _check_labels(found, count, where, faults)
    scoring = _scoring(raw, count, f"{folder.name}/config.json", faults)
    if faults:
        raise InvalidConfig(faults)
    return Labels(names=tuple(found), scoring=scoring)


def written_scoring(config: str) -> Scoring:
    """What the config.pbtxt of a classifier's last step says; softmax where it says nothing."""
    found = _WRITTEN.search(config)
    return Scoring(found[1]) if found else Scoring.SOFTMAX


def _architecture(raw: Mapping[str, Any]) -> str:
    architectures = raw.get("architectures")
    return str(architectures[0]) if isinstance(architectures, list) and architectures else ""


def _labels_of_file(file: Path, faults: list[Fault]) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        cure = "give a UTF-8 file with one label per line"
        faults.append(Fault(str(file), f"cannot be read ({error})", cure))
        return []


def _id2label(raw: Mapping[str, Any], where: str, faults: list[Fault]) -> list[str]:
    """The labels by their number: {"0": "negative", "1": "positive"}."""
    written = raw.get("id2label")
    cure = "give the labels with --labels FILE, one per line in the order of the head's outputs"
    if written is None:
        faults.append(Fault(f"{where}: id2label", "is missing", cure))
        return []
    numbers = [str(number) for number in range(len(written))] if isinstance(written, dict) else []
    if not numbers or set(written) != set(numbers):
        what = 'does not name the labels "0", "1" and so on'
        faults.append(Fault(f"{where}: id2label", what, cure))
        return []
    return [str(written[number]) for number in numbers]


def _check_labels(found: list[str], count: int, where: str, faults: list[Fault]) -> None:
    if len(found) != count:
        cure = "give one for each output, in their order"
        faults.append(Fault(where, f"has {len(found)} labels, the head {count} outputs", cure))
    for number, label in enumerate(found):
        if not label.strip() or label != " ".join(label.splitlines()):
            cure = "give each output a label of one line"
            faults.append(Fault(where, f"label {number} is {label!r}", cure))
        elif label in found[:number]:
            cure = "give each output a label of its own"
            what = f"labels {found.index(label)} and {number} are both {label!r}"
            faults.append(Fault(where, what, cure))


def _scoring(raw: Mapping[str, Any], count: int, where: str, faults: list[Fault]) -> Scoring:
    """As transformers does: a head with one output and nothing said has a sigmoid."""
    problem = raw.get("problem_type")
    if problem is None:
        return Scoring.SIGMOID if count == 1 else Scoring.SOFTMAX
    if problem not in _SCORING:
        cure = "known are " + ", ".join(_SCORING)
        faults.append(Fault(f"{where}: problem_type", f"is {problem!r}", cure))
        return Scoring.SOFTMAX
    return _SCORING[problem]
