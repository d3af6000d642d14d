"""FillMask: the likeliest tokens behind each mask of a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trivet.config import ModelConfig
from trivet.errors import InvalidInput
from trivet.frontend.text_tasks.task import Asking, Messages, Task, one_text
from trivet.request import Parameters, Tensors
from trivet_protos.generated import text_pb2 as pb

_DEFAULT_TOP_K = 5
TARGET = "TARGET"  # the input of the only candidates: BYTES, [rows, targets]

Asked = pb.FillMaskRequest | pb.FillMaskStreamRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class _FillMask(Task[str, pb.FillMaskResult]):
    def check(self, config: ModelConfig, asked: Asked) -> None:
        Task.check(self, config, asked)
        if asked.targets and config.input(TARGET) is None:
            raise InvalidInput(
                f"model '{config.name}' takes no targets: it lacks an input {TARGET}; leave them"
                " out, or build it again with trivet build (for ONNX Runtime)"
            )
        for place, target in enumerate(asked.targets):
            if not target:
                raise InvalidInput(f"targets[{place}] is empty; name a word, or leave it out")

    async def answer(
        self, asking: Asking, item: str, asked: Asked, result: pb.FillMaskResult
    ) -> None:
        inputs = dict(self.inputs(item))
        if asked.targets:
            inputs[TARGET] = np.array([[t.encode() for t in asked.targets]], dtype=object)
        response = await asking.infer(inputs, tuple(self.outputs), _parameters(asked))
        _fill_masks(result, response.outputs)
        asking.fill_cost(result.cost, response)


def _parameters(asked: Asked) -> Parameters:
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


FILL_MASK = _FillMask(
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
