"""Classify: the labels of a text, or of a pair of texts."""

from __future__ import annotations

from trivet.frontend.text_tasks.pairs import paired
from trivet.frontend.text_tasks.task import Messages, Task, one_pair, one_text
from trivet.request import Parameters, ParameterValue, Tensors
from trivet_protos.generated import text_pb2 as pb

Item = tuple[str, str | None]


def _items(asked: pb.ClassifyRequest) -> list[Item]:
    if not asked.text_pairs:
        return [(text, None) for text in asked.texts]
    return [*paired("Classify", "texts", asked.texts, "text_pairs", asked.text_pairs)]


def _item(asked: pb.ClassifyStreamRequest) -> Item:
    return asked.text, asked.text_pair if asked.HasField("text_pair") else None


def _inputs(item: Item) -> Tensors:
    text, pair = item
    if pair is None:
        return one_text(text)
    return one_pair(text, pair)


def _parameters(asked: pb.ClassifyRequest | pb.ClassifyStreamRequest) -> Parameters:
    parameters: dict[str, ParameterValue] = {"truncate": asked.truncate}
    return {**parameters, "top_k": asked.top_k} if asked.top_k else parameters


def _fill_labels(result: pb.ClassifyResult, outputs: Tensors) -> None:
    """LABEL, SCORE: [1, k], best first."""
    labels, scores = outputs["LABEL"][0].tolist(), outputs["SCORE"][0].tolist()
    for label, score in zip(labels, scores, strict=True):
        result.labels.add(label=label.decode("utf-8", "replace"), score=score)


CLASSIFY: Task[Item, pb.ClassifyResult] = Task(
    name="Classify",
    default_model="classify",
    messages=Messages(
        request=pb.ClassifyRequest,
        response=pb.ClassifyResponse,
        stream_request=pb.ClassifyStreamRequest,
        stream_response=pb.ClassifyStreamResponse,
    ),
    items=_items,
    item=_item,
    fields_per_item=2,
    inputs=_inputs,
    outputs={"LABEL": 1, "SCORE": 1},
    parameters=_parameters,
    fill=_fill_labels,
)
