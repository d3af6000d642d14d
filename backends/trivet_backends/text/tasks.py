"""The tasks of this backend. One more task is one more entry of TASKS.

A task is a pure function from one request's arrays to its outputs, and what it needs to be made.
All arrays carry a batch dimension; where a model does not batch, the backend adds and removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.request import Parameters, Tensors
from trivet_backends.parameters import Parameter, Reader
from trivet_backends.text import (
    answer,
    classify,
    detokenize,
    fill_mask,
    inspect_layers,
    pool,
    similarity,
    tag_tokens,
)

Answerer = Callable[[Tensors, Parameters], Tensors]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a task takes and gives, and how its function is made.

    inputs: one that is optional is the model's only if its config names it.
    make: called once per version; may read the version's folder; adds what is wrong with its
    parameters to the reader. The function it gives raises InvalidInput for a request at fault.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: tuple[Parameter[Any], ...] = ()
    make: Callable[[ModelConfig, LoadContext, Reader], Answerer]


TASKS: Mapping[str, Task] = {
    "answer": Task(inputs=answer.INPUTS, outputs=answer.OUTPUTS, make=answer.make),
    "classify": Task(
        inputs=classify.INPUTS,
        outputs=classify.OUTPUTS,
        parameters=classify.PARAMETERS,
        make=classify.make,
    ),
    "detokenize": Task(inputs=detokenize.INPUTS, outputs=detokenize.OUTPUTS, make=detokenize.make),
    "fill_mask": Task(inputs=fill_mask.INPUTS, outputs=fill_mask.OUTPUTS, make=fill_mask.make),
    "inspect": Task(
        inputs=inspect_layers.INPUTS,
        outputs=inspect_layers.OUTPUTS,
        parameters=pool.PARAMETERS,
        make=inspect_layers.make,
    ),
    "pool": Task(
        inputs=pool.INPUTS, outputs=pool.OUTPUTS, parameters=pool.PARAMETERS, make=pool.make
    ),
    "similarity": Task(inputs=similarity.INPUTS, outputs=similarity.OUTPUTS, make=similarity.make),
    "tag_tokens": Task(
        inputs=tag_tokens.INPUTS,
        outputs=tag_tokens.OUTPUTS,
        parameters=tag_tokens.PARAMETERS,
        make=tag_tokens.make,
    ),
}
