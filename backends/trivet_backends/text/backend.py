"""What follows a model. Each request is answered by itself: company would gain nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trivet.backend.contract import Answer, Batch, LoadContext, Rows, Signature
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidConfig, ServeError
from trivet.request import Tensors
from trivet_backends.checks import batches, check_names
from trivet_backends.parameters import Parameter, Reader, one_of
from trivet_backends.text.tasks import TASKS, Answerer, Task

TASK: Parameter[Task | None] = one_of("task", TASKS, None, "What to make of a model's answer.")


QUICK_ELEMENTS = 2048  # of all inputs of a batch: ten masks of a hundred candidates


class TextBackend:
    """Opens one of TASKS, named by the parameter `task`."""

    def open(self, config: ModelConfig, context: LoadContext) -> TextArtifact:
        """Make the task's function.

        Raises InvalidConfig: no such task, a tensor that is none of its own, a parameter out of
        its range, a file it needs that is missing or broken.
        """
        reader = Reader(config)
        task = reader.value(TASK)
        if task is None:
            if TASK.name not in config.parameters:
                reader.fault(TASK.name, "the task is not named", f"use {TASK.expects}")
            raise InvalidConfig(reader.faults)
        reader.look_for_typos((TASK, *task.parameters))
        check_names(config, inputs=_names(task.inputs), outputs=_names(task.outputs))
        answerer = task.make(config, context, reader)
        reader.done()
        return TextArtifact(answerer, _signature(task, config))


class TextArtifact:
    """A task's function, shared by its instances."""

    def __init__(self, answerer: Answerer, told: Signature) -> None:
        self._answerer = answerer
        self._signature = told

    @property
    def signature(self) -> Signature:
        """The task's tensors."""
        return self._signature

    def instance(self, config: ModelConfig) -> TextInstance:
        outputs = _names(config.outputs)
        return TextInstance(self._answerer, outputs, batches=config.max_batch_size > 0)

    def close(self) -> None:
        """The function goes with the last one who refers to it."""


class TextInstance:
    """Answers requests one after another, so that none can harm its neighbours."""

    def __init__(self, answerer: Answerer, outputs: Sequence[str], *, batches: bool) -> None:
        self._answerer = answerer
        self._outputs = outputs
        self._batches = batches

    def execute(self, batch: Batch) -> list[Answer | ServeError]:
        batch.merged_ns = batch.now_ns()
        answers = [self._answer(request) for request in batch.requests]
        batch.computed_ns = batch.now_ns()
        return answers

    def is_quick(self, batch: Batch) -> bool:
        """A few small tensors: tens of microseconds."""
        return sum(_elements(request) for request in batch.requests) <= QUICK_ELEMENTS

    def close(self) -> None:
        """Nothing is held but the artifact's."""

    def _answer(self, request: Rows) -> Answer | ServeError:
        try:
            outputs = self._compute(request)
        except ServeError as error:
            return error
        return Answer({name: outputs[name] for name in self._outputs})

    def _compute(self, request: Rows) -> Tensors:
        if self._batches:
            return self._answerer(request.inputs, request.parameters)
        inputs = {name: array[None] for name, array in request.inputs.items()}
        outputs = self._answerer(inputs, request.parameters)
        return {name: array[0] for name, array in outputs.items()}


def _elements(request: Rows) -> int:
    return sum(array.size for array in request.inputs.values())


def _names(specs: Sequence[TensorSpec]) -> tuple[str, ...]:
    return tuple(spec.name for spec in specs)


def _signature(task: Task, config: ModelConfig) -> Signature:
    """The task's tensors, without their batch dimension where the model has none."""
    named = _names(config.inputs)
    inputs = tuple(spec for spec in task.inputs if spec.name in named or not spec.optional)
    if batches(config):
        return Signature(inputs=inputs, outputs=task.outputs)
    return Signature(inputs=_unbatched(inputs), outputs=_unbatched(task.outputs))


def _unbatched(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, dims=spec.dims[1:], symbols=spec.symbols[1:]) for spec in specs)
