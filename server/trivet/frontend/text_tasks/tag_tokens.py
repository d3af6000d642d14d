"""TagTokens: the labelled spans of a text."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.frontend.text_tasks.long_text import enum_value, long_text
from trivet.frontend.text_tasks.task import Messages, Task, one_text
from trivet.request import Parameters, Tensors
from trivet_protos.generated import text_pb2 as pb

_AGGREGATION: Mapping[int, str | None] = {
    pb.AGGREGATION_UNSPECIFIED: None,
    pb.AGGREGATION_NONE: "none",
    pb.AGGREGATION_SIMPLE: "simple",
    pb.AGGREGATION_FIRST: "first",
    pb.AGGREGATION_MAX: "max",
    pb.AGGREGATION_AVERAGE: "average",
}
_NOWHERE = -1  # where a row of spans is filled up


def _parameters(asked: pb.TagTokensRequest | pb.TagTokensStreamRequest) -> Parameters:
    parameters = long_text(asked)
    said = enum_value("aggregation", asked.aggregation, _AGGREGATION)
    return parameters if said is None else {**parameters, "aggregation": said}


def _fill_spans(result: pb.TagTokensResult, outputs: Tensors) -> None:
    """LABEL, SCORE, START, END, SPAN: [1, spans]."""
    spans = zip(
        outputs["LABEL"][0].tolist(),
        outputs["SCORE"][0].tolist(),
        outputs["START"][0].tolist(),
        outputs["END"][0].tolist(),
        outputs["SPAN"][0].tolist(),
        strict=True,
    )
    for label, score, start, end, text in spans:
        if start == _NOWHERE:
            continue
        result.spans.add(
            label=label.decode("utf-8", "replace"),
            score=score,
            start=start,
            end=end,
            text=text.decode("utf-8", "replace"),
        )


TAG_TOKENS: Task[str, pb.TagTokensResult] = Task(
    name="TagTokens",
    default_model="tag_tokens",
    messages=Messages(
        request=pb.TagTokensRequest,
        response=pb.TagTokensResponse,
        stream_request=pb.TagTokensStreamRequest,
        stream_response=pb.TagTokensStreamResponse,
    ),
    items=lambda asked: asked.texts,
    item=lambda asked: asked.text,
    inputs=one_text,
    outputs={"LABEL": 1, "SCORE": 1, "START": 1, "END": 1, "SPAN": 1},
    parameters=_parameters,
    fill=_fill_spans,
)
