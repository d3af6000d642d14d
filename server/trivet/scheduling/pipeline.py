"""The scheduler of a pipeline: its steps run through other models' own queues.

Arrays go from step to step by reference. Two pipelines over one encoder share its batches, since
each only queues there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trivet.config import ModelConfig, Step
from trivet.request import InferRequest, InferResponse, ParameterValue, Stages
from trivet.telemetry.statistics import Statistics


class Member(Protocol):
    """A model as a pipeline sees it."""

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request."""


class Members(Protocol):
    """Where a pipeline finds its steps' models; the registry is one."""

    def acquire_for(self, request: InferRequest) -> AbstractContextManager[Member]:
        """The ready version that a request is for, kept alive while the block runs."""


class PipelineScheduler:
    """Runs each step of a request as soon as the steps it needs have answered."""

    def __init__(
        self, config: ModelConfig, version: int, members: Members, statistics: Statistics
    ) -> None:
        self._config = config
        self._version = version
        self._members = members
        self._statistics = statistics
        self._steps = in_order(config.steps)
        # The usual pipeline, each step needing the one before, costs no tasks.
        self._run = self._run_in_turn if _is_chain(self._steps) else self._run_side_by_side

    @property
    def pending(self) -> int:
        return 0  # who waits is counted where it waits: with a member

    async def infer(self, request: InferRequest) -> InferResponse:
        tensors = dict(request.inputs)
        steps: dict[str, Stages] = {}
        parameters: dict[str, ParameterValue] = {}
        responses = await self._run(request, tensors)
        for ordered, response in zip(self._steps, responses, strict=True):
            model = ordered.step.model
            known = steps.get(model)
            steps[model] = _sum((known, response.stages)) if known else response.stages
            parameters.update(response.parameters)
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
        return request.rows if self._config.max_batch_size else 1

    async def _run_in_turn(
        self, request: InferRequest, tensors: dict[str, np.ndarray]
    ) -> list[InferResponse]:
        return [await self._ask(ordered.step, request, tensors) for ordered in self._steps]

    async def _run_side_by_side(
        self, request: InferRequest, tensors: dict[str, np.ndarray]
    ) -> list[InferResponse]:
        tasks: list[asyncio.Task[InferResponse]] = []

        async def run(ordered: OrderedStep) -> InferResponse:
            for need in ordered.needs:
                await tasks[need]
            return await self._ask(ordered.step, request, tensors)

        try:
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(run(ordered)) for ordered in self._steps]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None  # the caller is told of one; the first is as good
        return [task.result() for task in tasks]

    async def _ask(
        self, step: Step, request: InferRequest, tensors: dict[str, np.ndarray]
    ) -> InferResponse:
        """Ask one step's model, and add its outputs to the tensors.

        An optional tensor the caller left out is left out here, too. Raises EngineFailed if the
        model gave no output that the step names.
        """
        inputs = {
            name: tensors[tensor] for name, tensor in step.input_map.items() if tensor in tensors
        }
        asked = request.with_inputs(step.model, step.version, inputs)
        with self._members.acquire_for(asked) as member:
            response = await member.infer(asked)
        for output, tensor in step.output_map.items():
            tensors[tensor] = response.output(output)
        return response


@dataclass(frozen=True, slots=True)
class OrderedStep:
    """A step and the positions, all before its own, of the steps whose tensors it takes."""

    step: Step
    needs: tuple[int, ...]


def in_order(steps: Sequence[Step]) -> tuple[OrderedStep, ...]:
    """The steps, each after those it needs; else as they are written. They have no cycle."""
    maker = {tensor: step for step in steps for tensor in step.output_map.values()}
    ordered: list[Step] = []
    waiting = list(steps)
    while waiting:
        ready = next((step for step in waiting if _makers(step, maker) <= _ids(ordered)), None)
        if ready is None:
            raise ValueError(f"steps wait for one another: {[step.model for step in waiting]}")
        ordered.append(ready)
        waiting.remove(ready)
    place = {id(step): position for position, step in enumerate(ordered)}
    return tuple(
        OrderedStep(step, tuple(sorted(place[made] for made in _makers(step, maker))))
        for step in ordered
    )


def _makers(step: Step, maker: Mapping[str, Step]) -> set[int]:
    """Which steps make what this one takes; by identity, since two may be equal."""
    return {id(maker[tensor]) for tensor in step.input_map.values() if tensor in maker}


def _ids(steps: Sequence[Step]) -> set[int]:
    return set(map(id, steps))


def _is_chain(steps: Sequence[OrderedStep]) -> bool:
    return all(position - 1 in ordered.needs for position, ordered in enumerate(steps) if position)


def _sum(stages: Iterable[Stages]) -> Stages:
    stages = tuple(stages)
    return Stages(
        queued_ns=min((stage.queued_ns for stage in stages if stage.queued_ns), default=0),
        queue_ns=sum(stage.queue_ns for stage in stages),
        compute_input_ns=sum(stage.compute_input_ns for stage in stages),
        compute_infer_ns=sum(stage.compute_infer_ns for stage in stages),
        compute_output_ns=sum(stage.compute_output_ns for stage in stages),
    )
