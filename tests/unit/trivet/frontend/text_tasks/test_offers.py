"""Which tasks a model can be asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trivet.config import ModelConfig, TensorSpec
from trivet.frontend.text_tasks.offers import tasks_of
from trivet.frontend.text_tasks.table import TASKS


def model(inputs: tuple[str, ...], outputs: dict[str, int], *optional: str) -> ModelConfig:
    return ModelConfig(
        name="m",
        inputs=tuple(
            TensorSpec(name=name, datatype="BYTES", dims=(1,), optional=name in optional)
            for name in inputs + optional
        ),
        outputs=tuple(
            TensorSpec(name=name, datatype="FP32", dims=(-1,) * rank)
            for name, rank in outputs.items()
        ),
    )


LABELS = {"LABEL": 1, "SCORE": 1}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_model_built_for_a_task_offers_it(task: object) -> None:
    config = model(tuple(task.needs), dict(task.outputs))  # type: ignore[attr-defined]
    assert task.name in tasks_of(config)  # type: ignore[attr-defined]


def test_one_that_embeds_does_all_that_compares_vectors() -> None:
    offered = tasks_of(model(("TEXT",), {"EMBEDDING": 1}))
    assert offered == ["Embed", "Similarity", "ZeroShot", "FewShot"]


def test_one_that_tags_tokens_classifies_nothing() -> None:
    spans = {**LABELS, "START": 1, "END": 1, "SPAN": 1}
    assert tasks_of(model(("TEXT",), spans)) == ["TagTokens"]
    assert tasks_of(model(("TEXT",), LABELS, "TEXT_PAIR")) == ["Classify"]


def test_one_that_needs_what_no_task_brings_offers_none() -> None:
    assert tasks_of(model(("TEXT", "LABEL"), LABELS)) == []
    assert tasks_of(model(("IN",), {"OUT": 1})) == []
    assert tasks_of(replace(model(("TEXT",), LABELS), decoupled=True)) == []
