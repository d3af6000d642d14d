"""ZeroShot: labels that the model has never seen, by what they mean."""

from __future__ import annotations

from trivet.frontend.text_tasks.by_vectors import VectorTask, check_labels, label
from trivet.frontend.text_tasks.task import Asking, Messages
from trivet.scheduling.labelling.asked import ZeroShot
from trivet.scheduling.labelling.embedding import EMBEDDING
from trivet_protos.generated import text_pb2 as pb

Asked = pb.ZeroShotRequest | pb.ZeroShotStreamRequest


def _labelling(asked: Asked) -> ZeroShot:
    return ZeroShot(
        labels=asked.labels,
        template=asked.template,
        multi_label=asked.multi_label,
        temperature=asked.temperature,
    )


async def _score(asking: Asking, text: str, asked: Asked, result: pb.ZeroShotResult) -> None:
    await label(asking, text, _labelling(asked), asked, result, "labels_cost")


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
    verify=lambda asked: check_labels(_labelling(asked), asked),
    score=_score,
)
