"""The scheduler of a pipeline: its steps run through other models' own queues.

Arrays go from step to step by reference. Two pipelines over one encoder share its batches, since
each only queues there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from trivet.config import ModelConfig, Step
from trivet.request import InferRequest, InferResponse, ParameterValue, Stages, Tensors
from trivet.telemetry.statistics import Statistics


class Member(Protocol):
    """A model as a pipeline sees it."""

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request."""


class Members(Protocol):
    """Where a pipeline finds its steps' models; the registry is one."""

    def acquire(self, name: str, version: int | None = None) -> AbstractContextManager[Member]:
        """A ready version, kept alive while the block runs."""


class PipelineScheduler:
    """Runs the steps of each request as soon as the step before has answered."""

    def __init__(
        self, config: ModelConfig, version: int, members: Members, statistics: Statistics
    ) -> None:
        self._config = config
        self._version = version
        self._members = members
        self._statistics = statistics
        self._levels = levels(config.steps, {spec.name for spec in config.inputs})

    async def infer(self, request: InferRequest) -> InferResponse:
        tensors = dict(request.inputs)
        steps: dict[str, Stages] = {}
        parameters: dict[str, ParameterValue] = {}
        for level in self._levels:
            for step, response in zip(level, await self._run(level, request, tensors), strict=True):
                steps[step.model] = _sum((steps.get(step.model, Stages()), response.stages))
                parameters.update(response.parameters)
                for output, tensor in step.output_map.items():
                    tensors[tensor] = response.outputs[output]
        stages = _sum(steps.values())
        self._statistics.batch_done(self._rows(request), stages)
        return InferResponse(
            model=self._config.name,
            version=self._version,
            outputs={spec.name: tensors[spec.name] for spec in self._config.outputs},
            parameters=parameters,
            stages=stages,
            steps=steps,
        )

    async def close(self) -> None:
        """A pipeline owns nothing: its members are closed for themselves."""

    def _rows(self, request: InferRequest) -> int:
        return len(next(iter(request.inputs.values()))) if self._config.max_batch_size else 1

    async def _run(
        self, level: Sequence[Step], request: InferRequest, tensors: Tensors
    ) -> Sequence[InferResponse]:
        if len(level) == 1:  # the usual case needs no task of its own
            return [await self._ask(level[0], request, tensors)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ask(step, request, tensors)) for step in level]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None  # the caller is told of one; the first is as good
        return [task.result() for task in tasks]

    async def _ask(self, step: Step, request: InferRequest, tensors: Tensors) -> InferResponse:
        """Ask one step's model. An optional tensor the caller left out is left out here, too."""
        inputs = {
            name: tensors[tensor] for name, tensor in step.input_map.items() if tensor in tensors
        }
        with self._members.acquire(step.model, step.version) as member:
            return await member.infer(request.with_inputs(step.model, step.version, inputs))


def levels(steps: Sequence[Step], given: set[str]) -> tuple[tuple[Step, ...], ...]:
    """Steps in the order they can run; those of one level need nothing of one another.

    given: the tensors that are there before the first step. The steps are known to have no cycle.
    """
    known, waiting, ordered = set(given), list(steps), []
    while waiting:
        level = tuple(step for step in waiting if known.issuperset(step.input_map.values()))
        if not level:
            raise ValueError(f"steps wait for one another: {[step.model for step in waiting]}")
        ordered.append(level)
        waiting = [step for step in waiting if step not in level]
        known.update(tensor for step in level for tensor in step.output_map.values())
    return tuple(ordered)


def _sum(stages: Iterable[Stages]) -> Stages:
    stages = tuple(stages)
    return Stages(
        queue_ns=sum(stage.queue_ns for stage in stages),
        compute_input_ns=sum(stage.compute_input_ns for stage in stages),
        compute_infer_ns=sum(stage.compute_infer_ns for stage in stages),
        compute_output_ns=sum(stage.compute_output_ns for stage in stages),
    )
