"""What a model is asked, and how a variant's answers are compared with the source's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trivet_backends.workshop.heads import Scoring
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.quantize import scores
from trivet_backends.workshop.quantize.decisions import Answers, Decide, decision_of
from trivet_backends.workshop.quantize.running import Runner
from trivet_backends.workshop.quantize.samples import Batch, Sample, Samples
from trivet_backends.workshop.quantize.scores import Score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """What is asked, how outputs become answers, and how those are compared with the source's."""

    samples: Sequence[Sample]
    decide: Decide
    score: Callable[[Answers, Answers], Score]
    metric: str  # what `kept` is a share of


def answers_of(runner: Runner, trial: Trial, batches: Sequence[Batch]) -> Answers:
    """The answers to all samples of a trial, in their order. batches: all of them."""
    answers: dict[int, np.ndarray] = {}
    for batch in batches:
        decided = trial.decide(runner.run(batch.feeds), batch.feeds)
        answers.update(zip(batch.rows, decided, strict=True))
    return [answers[place] for place in range(len(trial.samples))]


def trial_of_texts(texts: Sequence[str], samples: Samples, task: Task, scoring: Scoring) -> Trial:
    """Texts without labels: the source's own answers are what is right."""
    is_number = task is Task.CLASSIFY and scoring is Scoring.NONE

    def score(source: Answers, found: Answers) -> Score:
        if task is Task.EMBED:
            return scores.embeddings(np.stack(source), np.stack(found))
        if is_number:
            return scores.numbers(np.concatenate(source), np.concatenate(found))
        if task is Task.FILL_MASK:  # the likeliest word alone
            source, found = ([answer[:1] for answer in of] for of in (source, found))
        return scores.agreement(source, found, whole=task is Task.ANSWER)

    metric = {Task.EMBED: "cosine and neighbours"}.get(task, "agreement")
    return Trial(
        samples=samples.of_texts(texts),
        decide=decision_of(task, scoring),
        score=score,
        metric="rank correlation" if is_number else metric,
    )
