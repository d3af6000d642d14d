"""The language tasks of trivet.v1.TextService: what each needs of a model, and how the model's
tensors become its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from trivet.config import ModelConfig
from trivet.errors import InvalidInput
from trivet.request import InferResponse, Stages, Tensors
from trivet_protos.generated import text_pb2 as pb

TEXT = "TEXT"  # the input of every pipeline that takes text: BYTES, one text per row


class Result(Protocol):
    """What the results of all tasks have in common."""

    @property
    def cost(self) -> pb.Cost: ...


R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True)
class Task(Generic[R]):
    """One language task.

    outputs: what the model has to answer with: name -> dimensions, the batch not counted.
    fill: writes the result of one text from outputs of [1, ...].
    """

    name: str
    default_model: str
    outputs: Mapping[str, int]
    fill: Callable[[R, Tensors], None]

    def check(self, config: ModelConfig) -> None:
        """Raises InvalidInput if the model cannot do this task."""
        lacks = [] if config.input(TEXT) else [f"an input {TEXT}"]
        for name, rank in self.outputs.items():
            spec = config.output(name)
            if spec is None or len(spec.dims) != rank:
                lacks.append(f"an output {name} of {rank} dimension{'s' * (rank > 1)}")
        if lacks:
            raise InvalidInput(
                f"model '{config.name}' cannot do {self.name}: it lacks {', '.join(lacks)};"
                f" name a model built for it, such as '{self.default_model}'"
            )


def _fill_embedding(result: pb.EmbedResult, outputs: Tensors) -> None:
    """EMBEDDING: [1, width]."""
    # A packed field is the vector's own bytes behind a tag and a length. Written so it takes 0.5 us
    # for 384 numbers; through `embedding.extend(vector.tolist())` it takes 7.
    vector = np.ascontiguousarray(outputs["EMBEDDING"][0], "<f4").tobytes()
    result.MergeFromString(_EMBEDDING_TAG + _varint(len(vector)) + vector)


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


def fill_cost(cost: pb.Cost, response: InferResponse, tokenizers: Set[str]) -> None:
    """Write what one text took.

    tokenizers: the pipeline's members that make tokens; their computing is counted apart.
    """
    cost.tokens = int(response.parameters.get("tokens", 0))
    cost.truncated = bool(response.parameters.get("truncated", False))
    steps = response.steps or {response.model: response.stages}
    tokenize_ns = compute_ns = queue_ns = 0
    for model, stages in steps.items():
        queue_ns += stages.queue_ns
        if model in tokenizers:
            tokenize_ns += _computing_ns(stages)
        else:
            compute_ns += _computing_ns(stages)
    cost.queue_us = queue_ns // 1000
    cost.tokenize_us = tokenize_ns // 1000
    cost.compute_us = compute_ns // 1000


def _computing_ns(stages: Stages) -> int:
    return stages.compute_input_ns + stages.compute_infer_ns + stages.compute_output_ns


def _varint(number: int) -> bytes:
    """A length as protobuf writes it: 7 bits a byte, the least first."""
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


_LENGTH_DELIMITED = 2
_EMBEDDING_TAG = _varint(pb.EmbedResult.EMBEDDING_FIELD_NUMBER << 3 | _LENGTH_DELIMITED)

EMBED: Task[pb.EmbedResult] = Task("Embed", "embed", {"EMBEDDING": 1}, _fill_embedding)

FILL_MASK: Task[pb.FillMaskResult] = Task(
    "FillMask",
    "fill_mask",
    {"MASK_POSITION": 1, "TOKEN": 2, "TOKEN_ID": 2, "PROBABILITY": 2},
    _fill_masks,
)
