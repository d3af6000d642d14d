"""Models that label texts: what they ask of the model that embeds, and what they make of it."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from tests.harness.frontend import ScriptedModel, publish
from tests.harness.labelling import Embedder, OverEncoder, column, read_labelling, row
from trivet.config import LabelTask
from trivet.errors import InvalidInput, NotFound
from trivet.repository.registry import Registry
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.labelling.scheduler import LabelScheduler
from trivet.scheduling.labelling.vectors import Vectors
from trivet.telemetry.statistics import Statistics
from trivet.testing.clock import settle

LABELS = ["east", "west", "north"]
EXAMPLES = {
    "EXAMPLE": row(["east one", "near two", "west three"]),
    "EXAMPLE_LABEL": row(["e", "e", "w"]),
}


class Bed:
    """A model that labels, over an embedder of a registry."""

    def __init__(self, task: LabelTask = LabelTask.ZERO_SHOT, *models: ScriptedModel) -> None:
        self.embedder = Embedder()
        self.registry = Registry()
        for model in models or (self.embedder,):
            publish(self.registry, model)
        self.statistics = Statistics()
        self.scheduler = LabelScheduler(
            read_labelling(task), task, 3, self.registry, Vectors(), self.statistics
        )

    async def ask(
        self, texts: list[str], parameters: dict[str, Any] | None = None, **inputs: np.ndarray
    ) -> InferResponse:
        inputs = {"TEXT": column(texts), **(inputs or {"LABEL": row(LABELS)})}
        request = InferRequest(model="m", id="r-1", inputs=inputs, parameters=parameters or {})
        return await self.scheduler.infer(request)


def words(array: np.ndarray) -> list[list[str]]:
    return [[word.decode() for word in text] for text in array.tolist()]


async def test_each_texts_labels_are_told_the_best_first() -> None:
    bed = Bed()
    answer = await bed.ask(["go near", "west"])
    assert (answer.model, answer.version) == ("zero_shot", 3)
    assert words(answer.outputs["LABEL"]) == [["east", "north", "west"], ["west", "north", "east"]]
    assert answer.outputs["SCORE"].sum(axis=1) == pytest.approx([1, 1])


async def test_examples_tell_labels() -> None:
    bed = Bed(LabelTask.FEW_SHOT)
    for method in ("nearest_centroid", "nearest_neighbors"):
        answer = await bed.ask(["near", "west"], {"method": method}, **EXAMPLES)
        assert words(answer.outputs["LABEL"]) == [["e", "w"], ["w", "e"]]


async def test_texts_and_labels_are_each_a_request_of_one_row_and_labels_are_kept() -> None:
    bed = Bed()
    for _ in range(2):
        await bed.ask(["near", "near", "west"], {"priority": 2, "timeout": 9, "top_k": 1})
    asked = bed.embedder.asked
    assert (asked["near"], asked["west"]) == (4, 2), "texts are not kept"
    assert {asked[f"This text is about {label}."] for label in LABELS} == {1}
    for request in bed.embedder.requests:
        assert request.inputs["TEXT"].shape == (1, 1)
        assert request.id == "r-1"
        assert request.parameters == {"priority": 2, "timeout": 9, "truncate": False}


async def test_what_it_took_is_told_and_counted_once() -> None:
    bed = Bed()
    first = await bed.ask(["east", "a long way north"])
    again = await bed.ask(["east", "north"])
    assert first.parameters == {"tokens": 3 * 7 + 3 + 6, "truncated": True}
    assert again.parameters == {"tokens": 2 * 3, "truncated": False}
    longest = "This text is about north."
    assert first.stages.queue_ns == 10 * len(longest), "they are embedded side by side"
    assert dict(first.steps) == {"embed": first.stages}
    assert bed.statistics.execution_count == 2


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        (["east", "poison"], LABELS, "TEXT[1]: this text is poison; send another"),
        (["east"], ["east", "poison"], "LABEL[1]: this text is poison"),
        (["east"], [], "model 'm': LABEL is empty; send at least one LABEL"),
        (["east"], ["east", " east "], "LABEL[1]: 'east' is LABEL[0] already; send each once"),
        (["east"], ["east", " "], "LABEL[1] is empty; send a word or more"),
        ([], LABELS, "model 'm': TEXT is empty"),
    ],
)
async def test_what_cannot_be_answered_is_refused_with_its_place(
    texts: list[str], labels: list[str], said: str
) -> None:
    bed = Bed()
    with pytest.raises(InvalidInput) as refused:
        await bed.ask(texts, LABEL=row(labels))
    assert said in refused.value.message
    assert bed.statistics.execution_count == 0


async def test_a_caller_who_leaves_takes_all_of_his_requests_along() -> None:
    class Hanging(Embedder):
        cancelled = 0

        async def infer(self, request: InferRequest) -> InferResponse:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            raise AssertionError

    hanging = Hanging()
    bed = Bed(LabelTask.ZERO_SHOT, hanging)
    asking = asyncio.create_task(bed.ask(["east"]))
    await settle()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert hanging.cancelled == len(LABELS)


async def test_a_new_encoder_is_not_compared_with_vectors_of_the_old_one() -> None:
    bed = Bed(LabelTask.ZERO_SHOT, Embedder("encoder"))
    publish(bed.registry, OverEncoder(bed.registry))
    before = await bed.ask(["near"])
    new = Embedder("encoder", version=2, turned=180)
    publish(bed.registry, new)
    after = await bed.ask(["near"])
    assert words(after.outputs["LABEL"]) == words(before.outputs["LABEL"])
    assert sum(new.asked.values()) == 1 + len(LABELS)


async def test_an_encoder_that_is_replaced_in_the_middle_has_all_asked_again() -> None:
    old, new = Embedder("encoder"), Embedder("encoder", version=2, turned=180)
    bed = Bed(LabelTask.ZERO_SHOT, old)
    publish(bed.registry, OverEncoder(bed.registry))
    expected = await bed.ask(["near"])
    answer = old._answer

    async def swapping(request: InferRequest) -> InferResponse:
        found = await answer(request)
        publish(bed.registry, new)
        return found

    old._answer = swapping
    found = await bed.ask(["near"])
    assert words(found.outputs["LABEL"]) == words(expected.outputs["LABEL"])
    assert new.asked["near"] == 1, "the text of the old one and labels of the new one are apart"


async def test_a_model_that_embeds_and_is_gone_is_not_there() -> None:
    bed = Bed()
    await bed.registry.retire("embed", 1)
    bed.registry.forget("embed", 1)
    with pytest.raises(NotFound, match="embed"):
        await bed.ask(["east"])
    assert bed.scheduler.pending == 0
