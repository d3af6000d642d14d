"""FewShot: labels by a few examples of each."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.errors import InvalidInput
from trivet.frontend.text_tasks.by_vectors import VectorTask, check_labels, label
from trivet.frontend.text_tasks.task import Asking, Messages
from trivet.scheduling.labelling.asked import FewShot, Method
from trivet.scheduling.labelling.embedding import EMBEDDING
from trivet_protos.generated import text_pb2 as pb

Asked = pb.FewShotRequest | pb.FewShotStreamRequest

_METHODS: Mapping[int, Method] = {
    pb.FEW_SHOT_METHOD_UNSPECIFIED: Method.NEAREST_CENTROID,
    pb.FEW_SHOT_METHOD_NEAREST_CENTROID: Method.NEAREST_CENTROID,
    pb.FEW_SHOT_METHOD_NEAREST_NEIGHBORS: Method.NEAREST_NEIGHBORS,
}


def _labelling(asked: Asked) -> FewShot:
    """Raises InvalidInput for an unknown method."""
    if asked.method not in _METHODS:
        raise InvalidInput(
            f"FewShot: method {asked.method} is none; send NEAREST_CENTROID (1) or"
            " NEAREST_NEIGHBORS (2)"
        )
    return FewShot(
        texts=[example.text for example in asked.examples],
        labels=[example.label for example in asked.examples],
        method=_METHODS[asked.method],
        neighbors=asked.neighbors,
        temperature=asked.temperature,
    )


async def _score(asking: Asking, text: str, asked: Asked, result: pb.FewShotResult) -> None:
    await label(asking, text, _labelling(asked), asked, result, "examples_cost")


FEW_SHOT: VectorTask[str, pb.FewShotResult] = VectorTask(
    name="FewShot",
    messages=Messages(
        request=pb.FewShotRequest,
        response=pb.FewShotResponse,
        stream_request=pb.FewShotStreamRequest,
        stream_response=pb.FewShotStreamResponse,
    ),
    items=lambda asked: asked.texts,
    item=lambda asked: asked.text,
    fields_per_item=3,  # an example is three
    inside=frozenset({pb.FewShotRequest.EXAMPLES_FIELD_NUMBER}),
    outputs={EMBEDDING: 1},
    verify=lambda asked: check_labels(_labelling(asked), asked),
    score=_score,
)
