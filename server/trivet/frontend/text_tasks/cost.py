"""What one text took, as its result tells it."""

from __future__ import annotations

from collections.abc import Set

from trivet.request import InferResponse
from trivet_protos.generated import text_pb2 as pb


def fill_cost(cost: pb.Cost, response: InferResponse, tokenizers: Set[str]) -> None:
    """Write what one text took.

    tokenizers: the pipeline's members that make tokens; their computing is counted apart.
    """
    cost.tokens = int(response.parameters.get("tokens", 0))
    cost.truncated = bool(response.parameters.get("truncated", False))
    cost.windows = int(response.parameters.get("windows", 1))
    steps = response.steps or {response.model: response.stages}
    tokenize_ns = compute_ns = queue_ns = 0
    for model, stages in steps.items():
        queue_ns += stages.queue_ns
        if model in tokenizers:
            tokenize_ns += stages.compute_ns
        else:
            compute_ns += stages.compute_ns
    cost.queue_us = queue_ns // 1000
    cost.tokenize_us = tokenize_ns // 1000
    cost.compute_us = compute_ns // 1000
