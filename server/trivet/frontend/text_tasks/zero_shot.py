"""ZeroShot: labels that the model has never seen, by what they mean."""

from __future__ import annotations

from collections.abc import Sequence

from trivet.errors import InvalidInput
from trivet.frontend.text_tasks.by_vectors import (
    EMBEDDING,
    VectorTask,
    check_count,
    fill_labels,
    kept_vectors,
    temperature_of,
    vector_of,
)
from trivet.frontend.text_tasks.scores import zero_shot
from trivet.frontend.text_tasks.task import Asking, Messages
from trivet_protos.generated import text_pb2 as pb

PLACE = "{}"  # of the label in a template
DEFAULT_TEMPLATE = "This text is about {}."
_SHOWN = 80  # characters of a label or template that a message repeats

Asked = pb.ZeroShotRequest | pb.ZeroShotStreamRequest


def _verify(asked: Asked) -> None:
    check_count(len(asked.labels), "labels", "ZeroShot")
    temperature_of(asked)
    check_labels(asked.labels)
    template = asked.template or DEFAULT_TEMPLATE
    if (places := template.count(PLACE)) != 1:
        raise InvalidInput(
            f"ZeroShot: the template {template[:_SHOWN]!r} has {places} places for the label; write"
            f" {PLACE} once, as in {DEFAULT_TEMPLATE!r}"
        )


def check_labels(labels: Sequence[str]) -> None:
    """Raises InvalidInput for a label that is empty, or there twice; white space does not count."""
    places: dict[str, int] = {}
    for place, label in enumerate(labels):
        bare = label.strip()
        if not bare:
            raise InvalidInput(f"labels[{place}] is empty; send a word or more, or leave it out")
        first = places.setdefault(bare, place)
        if first != place:
            raise InvalidInput(
                f"labels[{place}]: {bare[:_SHOWN]!r} is labels[{first}] already; send each once"
            )


async def _score(asking: Asking, text: str, asked: Asked, result: pb.ZeroShotResult) -> None:
    template = asked.template or DEFAULT_TEMPLATE
    hypotheses = [template.replace(PLACE, label.strip()) for label in asked.labels]
    labels = await kept_vectors(asking, hypotheses, "labels", asked.truncate, result, "labels_cost")
    vector = await vector_of(asking, text, asked.truncate, result.cost)
    scored = zero_shot(
        vector,
        asked.labels,
        labels,
        temperature=temperature_of(asked),
        multi_label=asked.multi_label,
    )
    fill_labels(result, scored)


ZERO_SHOT: VectorTask[str, pb.ZeroShotResult] = VectorTask(
    name="ZeroShot",
    messages=Messages(
        request=pb.ZeroShotRequest,
        response=pb.ZeroShotResponse,
        stream_request=pb.ZeroShotStreamRequest,
        stream_response=pb.ZeroShotStreamResponse,
    ),
    items=lambda asked: asked.texts,
    item=lambda asked: asked.text,
    fields_per_item=2,
    outputs={EMBEDDING: 1},
    verify=_verify,
    score=_score,
)
