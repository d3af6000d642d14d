"""A request of more rows than an execution's budget holds: taken apart, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from trivet.config import BatchOrder, BatchPolicy
from trivet.errors import EngineFailed
from trivet.request import InferRequest, InferResponse, ParameterValue


def parts(rows: int, length: int, policy: BatchPolicy) -> tuple[slice, ...]:
    """The rows of each execution, in order; one slice where the request is within its budget.

    length: tokens of its longest row, 0 for a model without a varying dimension. Parts differ by
    one row at most: an almost empty last one would waste an execution. A single row over the
    budget is a part of its own, since rows cannot be cut.
    """
    budget = policy.max_batch_tokens
    if policy.order is not BatchOrder.LENGTH or not budget or rows * length <= budget:
        return (slice(0, rows),)
    count = -(-rows // max(1, budget // length))
    bounds = [rows * number // count for number in range(count + 1)]
    return tuple(slice(*pair) for pair in pairwise(bounds))


def part_of(request: InferRequest, rows: slice) -> InferRequest:
    """The same request with these rows only: views, no copies."""
    return request._replace(inputs={name: array[rows] for name, array in request.inputs.items()})


def joined(responses: Sequence[InferResponse]) -> InferResponse:
    """One answer from those of all parts, in order of their rows.

    Its stages are those of the part that was done last: what that one waited for includes the
    parts before. Of a parameter that several parts tell, the last one's word stays.
    Raises EngineFailed if an output's shapes differ but in the rows.
    """
    parameters: dict[str, ParameterValue] = {}
    for response in responses:
        parameters.update(response.parameters)
    return responses[0]._replace(
        outputs={name: _stacked(name, responses) for name in responses[0].outputs},
        parameters=parameters,
        stages=max((one.stages for one in responses), key=lambda stages: stages.total_ns),
    )


def _stacked(name: str, responses: Sequence[InferResponse]) -> np.ndarray:
    arrays = [response.output(name) for response in responses]
    shapes = sorted({array.shape[1:] for array in arrays})
    if len(shapes) > 1:
        raise EngineFailed(
            f"model '{responses[0].model}': output '{name}' has rows of shapes {shapes} where the"
            " request was computed in parts (max_batch_tokens); send fewer rows in a request"
        )
    return np.concatenate(arrays)
