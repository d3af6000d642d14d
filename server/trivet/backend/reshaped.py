"""`reshape`, as Triton defines it: clients see `dims`, the engine gets and gives `reshape`.

Both have as many elements, and the dimensions that vary stand in the same order in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from trivet.backend.contract import (
    Answer,
    Artifact,
    Batch,
    DecoupledInstance,
    Instance,
    ProcessInstance,
    QuickInstance,
    Rows,
    Sender,
)
from trivet.config import Dims, ModelConfig, TensorSpec
from trivet.errors import EngineFailed, ServeError
from trivet.request import Tensors

Views = Mapping[str, tuple[Dims, Dims]]  # of a tensor by name: the dims it has, and shall have


def instance_of(artifact: Artifact, config: ModelConfig) -> Instance:
    """Make an instance that takes and gives what clients see.

    config: complete, as clients see it; the artifact gets it as the engine sees it.
    """
    instance = artifact.instance(config.reshaped)
    if all(spec.reshape is None for spec in config.inputs + config.outputs):
        return instance
    if isinstance(instance, DecoupledInstance):
        return ReshapedStream(instance, config)
    return Reshaped(instance, config)


class Reshaped:
    """An instance behind reshapes; no element is copied."""

    def __init__(self, instance: Instance, config: ModelConfig) -> None:
        self._instance = instance
        self._batches = config.max_batch_size > 0
        self._inputs = _views(config.inputs)
        self._outputs = _views(config.reshaped.outputs)
        if isinstance(instance, ProcessInstance):  # then so is this
            self.ended_fd = instance.ended_fd
            self.how_it_ended, self.end = instance.how_it_ended, instance.end

    def execute(self, batch: Batch) -> list[Answer | ServeError]:
        inner = self._inner(batch)
        answers = self._instance.execute(inner)
        batch.merged_ns, batch.computed_ns = inner.merged_ns, inner.computed_ns
        return [
            answer if isinstance(answer, ServeError) else self.outer(answer) for answer in answers
        ]

    def is_quick(self, batch: Batch) -> bool:
        return isinstance(self._instance, QuickInstance) and self._instance.is_quick(
            self._inner(batch)
        )

    def close(self) -> None:
        self._instance.close()

    def inner(self, request: Rows) -> Rows:
        """A request as the engine sees it."""
        return request._replace(inputs=self._view(request.inputs, self._inputs))

    def outer(self, answer: Answer) -> Answer:
        """An answer as clients see it. Raises EngineFailed if it has not the shapes it should."""
        return answer._replace(outputs=self._view(answer.outputs, self._outputs))

    def _inner(self, batch: Batch) -> Batch:
        return replace(batch, requests=[self.inner(request) for request in batch.requests])

    def _view(self, tensors: Tensors, views: Views) -> Tensors:
        return {
            name: self._reshaped(name, array, *views[name]) if name in views else array
            for name, array in tensors.items()
        }

    def _reshaped(self, name: str, array: np.ndarray, old: Dims, new: Dims) -> np.ndarray:
        """Raises EngineFailed for an array that has not the dims it should have: an output."""
        front = 1 if self._batches else 0
        own = array.shape[front:]
        if len(own) != len(old) or any(
            dim not in (-1, size) for dim, size in zip(old, own, strict=True)
        ):
            raise EngineFailed(
                f"output '{name}' has shape {list(array.shape)}, but its reshape in config.pbtxt"
                f" is {list(old)}; correct the one that is wrong"
            )
        return array.reshape(array.shape[:front] + _filled(new, _varying(old, own)))


class ReshapedStream(Reshaped):
    """An instance of a decoupled model behind reshapes."""

    def __init__(self, instance: DecoupledInstance, config: ModelConfig) -> None:
        super().__init__(instance, config)
        self._stream = instance.stream

    def stream(self, request: Rows, answers: Sender) -> None:
        self._stream(self.inner(request), _ReshapedSender(self, answers))


class _ReshapedSender:
    """Passes answers on as clients see them."""

    def __init__(self, reshaped: Reshaped, answers: Sender) -> None:
        self._outer = reshaped.outer
        self._answers = answers

    def send(self, answer: Answer, *, final: bool = False) -> None:
        self._answers.send(self._outer(answer), final=final)

    def is_cancelled(self) -> bool:
        return self._answers.is_cancelled()


def _views(specs: Sequence[TensorSpec]) -> Views:
    return {spec.name: (spec.dims, spec.reshape) for spec in specs if spec.reshape is not None}


def _varying(dims: Dims, shape: tuple[int, ...]) -> list[int]:
    return [size for dim, size in zip(dims, shape, strict=True) if dim == -1]


def _filled(dims: Dims, sizes: list[int]) -> tuple[int, ...]:
    left = iter(sizes)
    return tuple(next(left) if dim == -1 else dim for dim in dims)
