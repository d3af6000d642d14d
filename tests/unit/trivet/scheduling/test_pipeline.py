"""Pipelines: which step runs when, on what, and what becomes of a request whose step fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from tests.harness.frontend import ScriptedModel, echo_config, publish
from trivet.config import ModelConfig, Step, TensorSpec
from trivet.errors import EngineFailed, InvalidInput, NotFound, ServeError
from trivet.repository.registry import Registry
from trivet.request import InferRequest, InferResponse, Parameters, ParameterValue, Stages
from trivet.scheduling.pipeline import OrderedStep, PipelineScheduler, in_order
from trivet.telemetry.statistics import Statistics
from trivet.testing.clock import settle


def step(model: str, takes: str, gives: str, version: int | None = None) -> Step:
    """One step: the pipeline's tensors `takes` ("a,b" for two inputs IN and IN2) and `gives`."""
    inputs = dict(zip(("IN", "IN2"), takes.split(","), strict=False))
    return Step(model=model, version=version, input_map=inputs, output_map={"OUT": gives})


def pipeline(*steps: Step, outputs: str = "out", optional: str = "") -> ModelConfig:
    inputs = [TensorSpec(name="in", datatype="FP32", dims=(-1,))]
    if optional:
        inputs.append(TensorSpec(name=optional, datatype="FP32", dims=(-1,), optional=True))
    return ModelConfig(
        name="pipe",
        platform="ensemble",
        max_batch_size=8,
        inputs=tuple(inputs),
        outputs=tuple(
            TensorSpec(name=name, datatype="FP32", dims=(-1,)) for name in outputs.split(",")
        ),
        steps=steps,
    )


class Member(ScriptedModel):
    """Adds to its input what it was made with; remembers who asked; may be held at a gate."""

    def __init__(
        self,
        name: str,
        add: float = 0.0,
        *,
        version: int = 1,
        stages: Stages | None = None,
        tells: Parameters | None = None,
    ) -> None:
        inputs = (
            TensorSpec(name="IN", datatype="FP32", dims=(-1,)),
            TensorSpec(name="IN2", datatype="FP32", dims=(-1,), optional=True),
        )
        super().__init__(echo_config(name, inputs=inputs), self._add, version)
        self._amount = add
        self._stages = stages or Stages()
        self._tells = tells or {}
        self.asked: list[InferRequest] = []
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def _add(self, request: InferRequest) -> InferResponse:
        self.asked.append(request)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        total = np.sum(list(request.inputs.values()), axis=0) + self._amount
        return InferResponse(
            model=self.config.name,
            version=self.version,
            outputs={"OUT": total.astype(np.float32)},
            parameters=self._tells,
            stages=self._stages,
        )


Ask = Callable[..., Awaitable[InferResponse]]


class Bed:
    """A pipeline over members of a registry."""

    def __init__(self, config: ModelConfig, *members: ScriptedModel) -> None:
        self.registry = Registry()
        for member in members:
            publish(self.registry, member)
        self.statistics = Statistics()
        self.scheduler = PipelineScheduler(config, 3, self.registry, self.statistics)

    def ask(self, *numbers: float, **parameters: ParameterValue) -> asyncio.Task[InferResponse]:
        inputs = {"in": np.array([numbers], dtype=np.float32)}
        request = InferRequest(model="pipe", id="r-1", inputs=inputs, parameters=parameters)
        return asyncio.create_task(self.scheduler.infer(request))


async def test_a_member_that_leaves_an_output_out_is_named() -> None:
    async def nothing(request: InferRequest) -> InferResponse:
        return InferResponse(model="a", version=1, outputs={})

    member = ScriptedModel(Member("a").config, nothing)
    bed = Bed(pipeline(step("a", "in", "out")), member)
    with pytest.raises(EngineFailed, match="model 'a' gave no output 'OUT'"):
        await bed.ask(1)


async def test_each_step_gets_what_the_one_before_gave() -> None:
    a, b = Member("a", add=10), Member("b", add=100)
    bed = Bed(pipeline(step("b", "t", "out"), step("a", "in", "t")), a, b)
    answer = await bed.ask(1, 2)
    assert answer.outputs["out"].tolist() == [[111, 112]]
    assert (answer.model, answer.version) == ("pipe", 3)
    assert list(answer.outputs) == ["out"]


async def test_an_array_is_handed_on_by_reference() -> None:
    async def same(request: InferRequest) -> InferResponse:
        return InferResponse(model="", version=1, outputs={"OUT": request.inputs["IN"]})

    bed = Bed(pipeline(step("a", "in", "out")), ScriptedModel(echo_config("a"), same))
    array = np.ones((1, 3), np.float32)
    answer = await bed.scheduler.infer(InferRequest(model="pipe", inputs={"in": array}))
    assert answer.outputs["out"] is array


async def test_steps_that_need_nothing_of_one_another_run_side_by_side() -> None:
    a, b = Member("a", add=1), Member("b", add=2)
    join = Member("join")
    steps = (step("join", "x,y", "out"), step("a", "in", "x"), step("b", "in", "y"))
    bed = Bed(pipeline(*steps), a, b, join)
    a.gate.clear()
    b.gate.clear()
    task = bed.ask(10)
    await settle()
    assert (len(a.asked), len(b.asked), len(join.asked)) == (1, 1, 0)
    b.gate.set()  # in the other order than they were asked
    await settle()
    a.gate.set()
    assert (await task).outputs["out"].tolist() == [[23]]


async def test_a_failure_of_a_step_is_the_answer() -> None:
    async def refuse(request: InferRequest) -> InferResponse:
        raise InvalidInput("model 'a': no")

    after = Member("b")
    config = pipeline(step("a", "in", "t"), step("b", "t", "out"))
    bed = Bed(config, ScriptedModel(echo_config("a"), refuse), after)
    with pytest.raises(InvalidInput, match="model 'a': no"):
        await bed.ask(1)
    assert after.asked == []


async def test_a_failure_beside_another_step_is_the_answer_and_ends_that_step() -> None:
    async def refuse(request: InferRequest) -> InferResponse:
        raise InvalidInput("model 'a': no")

    beside = Member("b")
    beside.gate.clear()
    config = pipeline(step("a", "in", "x"), step("b", "in", "y"), outputs="x,y")
    bed = Bed(config, ScriptedModel(echo_config("a"), refuse), beside)
    with pytest.raises(InvalidInput, match="model 'a': no"):
        await bed.ask(1)
    assert beside.cancelled == 1


async def test_a_member_that_is_not_there_is_told() -> None:
    bed = Bed(pipeline(step("a", "in", "out")))
    with pytest.raises(NotFound, match="unknown model: 'a'"):
        await bed.ask(1)


@pytest.mark.parametrize("members", [("a",), ("a", "b")])
async def test_a_caller_who_leaves_takes_the_queued_steps_along(members: tuple[str, ...]) -> None:
    models = [Member(name) for name in members]
    for model in models:
        model.gate.clear()
    steps = [step(name, "in", f"{name}-out") for name in members]
    bed = Bed(pipeline(*steps, outputs=",".join(f"{name}-out" for name in members)), *models)
    task = bed.ask(1)
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [model.cancelled for model in models] == [1] * len(members)


async def test_a_member_is_kept_while_its_step_runs_and_no_longer() -> None:
    a, b = Member("a"), Member("b")
    b.gate.clear()
    bed = Bed(pipeline(step("a", "in", "t"), step("b", "t", "out")), a, b)
    task = bed.ask(1)
    await settle()
    retiring = {name: asyncio.create_task(bed.registry.retire(name, 1)) for name in ("a", "b")}
    await settle()
    assert {name: going.done() for name, going in retiring.items()} == {"a": True, "b": False}
    b.gate.set()
    await task
    await asyncio.gather(*retiring.values())


async def test_id_and_parameters_go_along_and_versions_are_chosen() -> None:
    old, new = Member("a", version=1), Member("a", version=2)
    bed = Bed(pipeline(step("a", "in", "t", version=1), step("a", "t", "out")), old, new)
    await bed.ask(1, top_k=7)
    assert [request.version for request in (*old.asked, *new.asked)] == [1, None]
    for request in (*old.asked, *new.asked):
        assert (request.model, request.id, request.parameters) == ("a", "r-1", {"top_k": 7})
        assert request.outputs == ()


async def test_stages_are_told_per_step_and_summed() -> None:
    first = Stages(queue_ns=1, compute_input_ns=2, compute_infer_ns=3, compute_output_ns=4)
    second = Stages(queue_ns=10, compute_input_ns=20, compute_infer_ns=30, compute_output_ns=40)
    both = Stages(queue_ns=11, compute_input_ns=22, compute_infer_ns=33, compute_output_ns=44)
    a, b = Member("a", stages=first), Member("b", stages=second)
    bed = Bed(pipeline(step("a", "in", "t"), step("b", "t", "out")), a, b)
    answer = await bed.ask(1)
    assert answer.stages == both
    assert answer.steps == {"a": first, "b": second}


async def test_two_steps_of_one_model_count_both() -> None:
    took = Stages(queue_ns=1, compute_input_ns=2, compute_infer_ns=3, compute_output_ns=4)
    twice = Stages(queue_ns=2, compute_input_ns=4, compute_infer_ns=6, compute_output_ns=8)
    bed = Bed(
        pipeline(step("a", "in", "t"), step("a", "t", "out")), Member("a", add=1, stages=took)
    )
    answer = await bed.ask(1)
    assert answer.outputs["out"].tolist() == [[3]]
    assert answer.stages == twice
    assert answer.steps == {"a": twice}


async def test_what_the_steps_tell_is_told_the_later_step_first() -> None:
    a = Member("a", tells={"tokens": 5, "truncated": False})
    b = Member("b", tells={"truncated": True, "more": "x"})
    bed = Bed(pipeline(step("a", "in", "t"), step("b", "t", "out")), a, b)
    answer = await bed.ask(1)
    assert answer.parameters == {"tokens": 5, "truncated": True, "more": "x"}


async def test_an_optional_input_left_out_is_left_out_of_the_step_too() -> None:
    a = Member("a")
    bed = Bed(pipeline(step("a", "in,bias", "out"), optional="bias"), a)
    assert (await bed.ask(5)).outputs["out"].tolist() == [[5]]
    inputs = {"in": np.ones((1, 1), np.float32), "bias": np.ones((1, 1), np.float32)}
    answer = await bed.scheduler.infer(InferRequest(model="pipe", inputs=inputs))
    assert answer.outputs["out"].tolist() == [[2]]
    assert [set(request.inputs) for request in a.asked] == [{"IN"}, {"IN", "IN2"}]


async def test_a_pipeline_counts_its_requests_as_executions_of_their_rows() -> None:
    bed = Bed(pipeline(step("a", "in", "out")), Member("a"))
    for rows in (2, 2, 3):
        inputs = {"in": np.ones((rows, 4), np.float32)}
        await bed.scheduler.infer(InferRequest(model="pipe", inputs=inputs))
    assert bed.statistics.execution_count == 3
    counts = {rows: batch.compute_infer.count for rows, batch in bed.statistics.batches.items()}
    assert counts == {2: 2, 3: 1}


def test_the_order_follows_what_steps_need_not_how_they_are_written() -> None:
    a, b, c, d = (
        step("a", "in", "x"),
        step("b", "x", "y"),
        step("c", "x", "z"),
        step("d", "y,z", "o"),
    )
    assert in_order((d, c, b, a)) == (
        OrderedStep(a, ()),
        OrderedStep(c, (0,)),
        OrderedStep(b, (0,)),
        OrderedStep(d, (1, 2)),
    )


async def test_a_step_waits_for_what_it_needs_and_for_nothing_else() -> None:
    slow, quick, after = Member("slow"), Member("quick"), Member("after")
    steps = (step("slow", "in", "x"), step("quick", "in", "y"), step("after", "y", "z"))
    bed = Bed(pipeline(*steps, outputs="x,z"), slow, quick, after)
    slow.gate.clear()
    task = bed.ask(1)
    await settle()
    assert (len(slow.asked), len(quick.asked), len(after.asked)) == (1, 1, 1)
    slow.gate.set()
    assert list((await task).outputs) == ["x", "z"]


def test_steps_in_a_circle_are_a_bug_and_said_to_be() -> None:
    with pytest.raises(ValueError, match=r"wait for one another: \['a', 'b'\]"):
        in_order((step("a", "y", "x"), step("b", "x", "y")))


async def test_what_a_step_raises_keeps_its_status() -> None:
    async def fail(request: InferRequest) -> InferResponse:
        raise ServeError("plain")

    models = [ScriptedModel(echo_config(name), fail) for name in ("a", "b")]
    bed = Bed(pipeline(step("a", "in", "x"), step("b", "in", "y"), outputs="x,y"), *models)
    with pytest.raises(ServeError, match="plain"):
        await bed.ask(1)
