"""What differs from head to head: the tokens that are asked, loss, answers and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trivet_backends.workshop.finetune import metrics
from trivet_backends.workshop.finetune.encode import IGNORED, Row
from trivet_backends.workshop.finetune.examples import Asked, Example, HeadTask
from trivet_backends.workshop.finetune.spans import best_span

# The metric that says which model is best; of "loss" less is better.
BEST_BY = {
    HeadTask.CLASSIFY: "accuracy",
    HeadTask.MULTI_LABEL: "micro_f1",
    HeadTask.REGRESSION: "spearman",
    HeadTask.NEXT_SENTENCE: "accuracy",
    HeadTask.TAG_TOKENS: "f1",
    HeadTask.ANSWER: "f1",
    HeadTask.FILL_MASK: "loss",
}
_TOP = 5

Prediction = tuple[Any, ...]  # (place of the example, and what the head says of it)


def asked(row: Row, task: HeadTask) -> np.ndarray:
    """int [asked]: the tokens whose vectors the head needs."""
    if task.is_of_texts:
        return np.zeros(1, np.int64)
    if task is HeadTask.ANSWER:
        return np.arange(len(row.ids))
    return np.flatnonzero(row.target != IGNORED)


def places_of(rows: Sequence[Row], task: HeadTask) -> np.ndarray:
    """int64 [asked, 2]: row and token of each token that is asked for."""
    pairs = [(number, asked(row, task)) for number, row in enumerate(rows)]
    return np.concatenate(
        [np.stack([np.full(len(tokens), number), tokens], axis=1) for number, tokens in pairs]
    )


def weight_of(row: Row, task: HeadTask) -> int:
    """How many losses a row adds to its step's mean."""
    return 1 if task is HeadTask.ANSWER else len(asked(row, task))


def loss_of(logits: Any, rows: Sequence[Row], task: HeadTask, class_weights: Any | None) -> Any:
    """The sum of the losses. logits: float32 [asked, labels], as `places_of` orders them.

    class_weights: float32 [labels]; of multi_label those of the labels that a text has.
    """
    import torch
    from torch.nn import functional

    if task is HeadTask.ANSWER:
        ends = _by_row(logits, rows)
        targets = torch.from_numpy(np.stack([row.target for row in rows])).to(logits.device)
        both = [
            functional.cross_entropy(ends[:, :, end], targets[:, end], reduction="sum")
            for end in (0, 1)
        ]
        return (both[0] + both[1]) / 2
    if task is HeadTask.REGRESSION:
        numbers = torch.from_numpy(np.stack([row.target for row in rows])).to(logits)
        return functional.mse_loss(logits, numbers, reduction="sum")
    if task is HeadTask.MULTI_LABEL:
        wanted = torch.from_numpy(np.stack([row.target for row in rows])).to(logits)
        each = functional.binary_cross_entropy_with_logits(
            logits, wanted, pos_weight=class_weights, reduction="none"
        )
        return each.mean(dim=1).sum()
    targets = np.concatenate([row.target[row.target != IGNORED] for row in rows])
    return functional.cross_entropy(
        logits, torch.from_numpy(targets).to(logits.device), weight=class_weights, reduction="sum"
    )


def _by_row(logits: Any, rows: Sequence[Row]) -> Any:
    """[rows, longest, 2]; minus infinity behind a row's end."""
    import torch

    lengths = [len(row.ids) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(
        torch.split(logits, lengths), batch_first=True, padding_value=float("-inf")
    )


def predictions_of(logits: np.ndarray, rows: Sequence[Row], task: HeadTask) -> list[Prediction]:
    """What the head says of each row. logits: float32 [asked, labels]."""
    counts = [len(asked(row, task)) for row in rows]
    parts = np.split(logits, np.cumsum(counts)[:-1])
    return [_prediction(part, row, task) for part, row in zip(parts, rows, strict=True)]


def _prediction(logits: np.ndarray, row: Row, task: HeadTask) -> Prediction:
    match task:
        case HeadTask.CLASSIFY | HeadTask.NEXT_SENTENCE:
            return (row.example, int(logits[0].argmax()), int(row.target[0]))
        case HeadTask.REGRESSION:
            return (row.example, float(logits[0, 0]), float(row.target[0]))
        case HeadTask.MULTI_LABEL:  # likelier than not
            return (row.example, (logits[0] > 0).tolist(), (row.target > 0).tolist())
        case HeadTask.TAG_TOKENS:
            wanted = row.target[row.target != IGNORED]
            return (row.example, logits.argmax(axis=1).tolist(), wanted.tolist())
        case HeadTask.ANSWER:
            assert row.spans is not None
            return (row.example, *_span_in_characters(logits, row.spans))
        case HeadTask.FILL_MASK:
            wanted = row.target[row.target != IGNORED]
            rank = (logits > logits[np.arange(len(wanted)), wanted][:, None]).sum(axis=1)
            return (row.example, len(wanted), int((rank == 0).sum()), int((rank < _TOP).sum()))


def _span_in_characters(logits: np.ndarray, spans: np.ndarray) -> tuple[float, int, int]:
    """(score, first character, end); see `best_span`."""
    score, first, last = best_span(logits, np.flatnonzero(spans[:, 0] >= 0))
    return (score, int(spans[first, 0]), int(spans[last, 1]))


def scores_of(
    predictions: Sequence[Prediction],
    examples: Sequence[Example],
    task: HeadTask,
    labels: Sequence[str],
) -> metrics.Scores:
    """The scores of all predictions of a set of examples."""
    match task:
        case HeadTask.CLASSIFY | HeadTask.NEXT_SENTENCE | HeadTask.REGRESSION:
            wanted = np.array([prediction[2] for prediction in predictions])
            found = np.array([prediction[1] for prediction in predictions])
            if task is HeadTask.REGRESSION:
                return metrics.regression(wanted, found)
            return metrics.classification(wanted, found, len(labels))
        case HeadTask.MULTI_LABEL:
            return metrics.multi_label(
                np.array([prediction[2] for prediction in predictions]),
                np.array([prediction[1] for prediction in predictions]),
            )
        case HeadTask.TAG_TOKENS:
            named = [
                [[labels[tag] for tag in tags] for tags in prediction[1:]]
                for prediction in predictions
            ]
            return metrics.tagging([tags[1] for tags in named], [tags[0] for tags in named])
        case HeadTask.ANSWER:
            return _answer_scores(predictions, examples)
        case HeadTask.FILL_MASK:
            asked_for, first, among = (sum(p[part] for p in predictions) for part in (1, 2, 3))
            return {"top_1": first / asked_for, f"top_{_TOP}": among / asked_for}


def _answer_scores(
    predictions: Sequence[Prediction], examples: Sequence[Example]
) -> metrics.Scores:
    best: dict[int, Prediction] = {}  # of an example's windows the one that is surest
    for prediction in predictions:
        place, score = prediction[:2]
        if place not in best or score > best[place][1]:
            best[place] = prediction
    wanted, found = [], []
    for place, (_, score, first, end) in sorted(best.items()):
        example = examples[place]
        assert isinstance(example, Asked)
        wanted.append(example.answer)
        found.append(example.passage[first:end] if score > 0 else "")
    return metrics.answering(wanted, found)


def is_better(score: float, best: float, metric: str) -> bool:
    """Whether a score beats another."""
    return score < best if metric == "loss" else score > best


def told(scores: Mapping[str, float]) -> str:
    """Scores in one line for a person."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in scores.items())
