"""FillMask: the likeliest tokens behind each mask of a text."""

from __future__ import annotations

from trivet.frontend.text_tasks.task import Messages, Task, one_text
from trivet.request import Parameters, Tensors
from trivet_protos.generated import text_pb2 as pb

_DEFAULT_TOP_K = 5


def _parameters(asked: pb.FillMaskRequest | pb.FillMaskStreamRequest) -> Parameters:
    return {"top_k": asked.top_k or _DEFAULT_TOP_K, "truncate": asked.truncate}


def _fill_masks(result: pb.FillMaskResult, outputs: Tensors) -> None:
    """MASK_POSITION: [1, masks]; TOKEN, TOKEN_ID, PROBABILITY: [1, masks, k], best first."""
    masks = zip(
        outputs["MASK_POSITION"][0].tolist(),
        outputs["TOKEN"][0].tolist(),
        outputs["TOKEN_ID"][0].tolist(),
        outputs["PROBABILITY"][0].tolist(),
        strict=True,
    )
    for position, *columns in masks:
        candidates = result.masks.add(position=position).candidates
        for token, token_id, probability in zip(*columns, strict=True):
            candidates.add(
                token=token.decode("utf-8", "replace"), token_id=token_id, probability=probability
            )


FILL_MASK: Task[str, pb.FillMaskResult] = Task(
    name="FillMask",
    default_model="fill_mask",
    messages=Messages(
        request=pb.FillMaskRequest,
        response=pb.FillMaskResponse,
        stream_request=pb.FillMaskStreamRequest,
        stream_response=pb.FillMaskStreamResponse,
    ),
    items=lambda asked: asked.texts,
    item=lambda asked: asked.text,
    inputs=one_text,
    outputs={"MASK_POSITION": 1, "TOKEN": 2, "TOKEN_ID": 2, "PROBABILITY": 2},
    parameters=_parameters,
    fill=_fill_masks,
)
