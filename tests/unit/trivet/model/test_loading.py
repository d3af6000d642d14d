"""Loading: what is opened, in which order, and that a failure leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trivet.backend.contract import Answer, Batch, LoadContext, Signature
from trivet.backend.cores import Cores
from trivet.config import InstanceGroup, ModelConfig, TensorSpec, WarmUp, WarmUpData, WarmUpInput
from trivet.errors import InvalidConfig, ServeError
from trivet.model.cache import ResponseCache
from trivet.model.loading import Loader
from trivet.request import InferRequest
from trivet.testing.clock import ManualClock

SPEC = TensorSpec(name="X", datatype="FP32", dims=(-1,))
CONFIG = ModelConfig(
    name="m",
    max_batch_size=4,
    inputs=(SPEC,),
    outputs=(replace(SPEC, name="Y"),),
    instance_groups=(InstanceGroup(count=2), InstanceGroup(count=1)),
)
CONTEXT = LoadContext(version=7, path=Path("m/7"), where="m/7", threads=1)

Happening = tuple[str, int]  # what, and in which instance; 0 is the artifact


class Scripted:
    """A backend, its artifact and its instances in one: notes what happens, fails where told."""

    def __init__(self, fail: Happening | None = None, told: Signature | None = None) -> None:
        self.signature = told or Signature()
        self.events: list[Happening] = []
        self.threads: dict[Happening, str] = {}
        self._fail = fail

    def note(self, what: str, number: int = 0) -> None:
        self.events.append((what, number))
        self.threads[what, number] = threading.current_thread().name
        if self._fail == (what, number):
            raise RuntimeError(f"{what} {number} failed")

    def open(self, config: ModelConfig, context: LoadContext) -> Scripted:
        self.note("open")
        assert context == CONTEXT
        return self

    def instance(self, config: ModelConfig) -> ScriptedInstance:
        number = 1 + sum(what == "instance" for what, _ in self.events)
        self.note("instance", number)
        return ScriptedInstance(self, number)

    def close(self) -> None:
        self.note("close")


class ScriptedInstance:
    def __init__(self, backend: Scripted, number: int) -> None:
        self._backend = backend
        self._number = number

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        self._backend.note("execute", self._number)
        return [Answer({"Y": request.inputs["X"]}) for request in batch.requests]

    def close(self) -> None:
        self._backend.note("close", self._number)


def threads_of_instances() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("m-")}


@pytest.fixture
def loader() -> Loader:
    return Loader(ManualClock(), Cores(8))


async def test_instances_are_made_warmed_up_and_closed_each_in_its_own_thread(
    loader: Loader,
) -> None:
    backend = Scripted()
    model = await loader.load(CONFIG, backend, CONTEXT)
    made = [(what, number) for number in (1, 2, 3) for what in ("instance", "execute")]
    assert backend.events == [("open", 0), *made]
    assert threads_of_instances() == {"m-0", "m-1", "m-2"}
    await model.close()
    assert threads_of_instances() == set()
    assert backend.events[-4:] == [("close", 1), ("close", 2), ("close", 3), ("close", 0)]
    for number in (1, 2, 3):
        threads = {backend.threads[what, number] for what in ("instance", "execute", "close")}
        assert threads == {f"m-{number - 1}"}


async def test_what_the_artifact_tells_completes_the_config(loader: Loader) -> None:
    told = Signature(
        inputs=(replace(SPEC, dims=(-1, -1), symbols=("batch", "tokens")),),
        outputs=(replace(SPEC, name="Y", dims=(-1, -1), symbols=("batch", "tokens")),),
    )
    model = await loader.load(replace(CONFIG, inputs=(), outputs=()), Scripted(told=told), CONTEXT)
    assert (model.version, model.config.name) == (7, "m")
    assert [spec.symbols for spec in (*model.config.inputs, *model.config.outputs)] == [
        ("tokens",),
        ("tokens",),
    ]
    answer = await model.infer(InferRequest(model="m", inputs={"X": np.ones((2, 5), np.float32)}))
    assert answer.outputs["Y"].shape == (2, 5)
    await model.close()


async def test_no_more_engine_threads_than_cores(loader: Loader) -> None:
    def threads(*counts: int) -> int:
        groups = tuple(InstanceGroup(count=count) for count in counts)
        return loader.threads(replace(CONFIG, instance_groups=groups))

    assert [threads(1), threads(2), threads(3), threads(2, 2), threads(9)] == [8, 4, 2, 2, 1]


OPENED, GONE = ("open", 0), ("close", 0)
FAILURES: dict[Happening, list[Happening]] = {
    ("open", 0): [],
    ("instance", 1): [GONE],
    ("execute", 1): [("close", 1), GONE],
    ("instance", 3): [("close", 2), ("close", 1), GONE],
    ("execute", 3): [("close", 3), ("close", 2), ("close", 1), GONE],
}


@pytest.mark.parametrize("fail", FAILURES, ids=[f"{what} {number}" for what, number in FAILURES])
async def test_a_failure_leaves_nothing_behind(loader: Loader, fail: Happening) -> None:
    backend = Scripted(fail)
    with pytest.raises(RuntimeError, match=f"{fail[0]} {fail[1]} failed"):
        await loader.load(CONFIG, backend, CONTEXT)
    assert backend.events[backend.events.index(fail) + 1 :] == FAILURES[fail]
    assert threads_of_instances() == set()


async def test_a_config_that_contradicts_the_artifact_closes_it(loader: Loader) -> None:
    told = Signature(inputs=(replace(SPEC, datatype="INT64", dims=(-1, -1)),))
    backend = Scripted(told=told)
    with pytest.raises(InvalidConfig, match=r"m/7: input 'X'.*FP32.*INT64"):
        await loader.load(CONFIG, backend, CONTEXT)
    assert backend.events == [OPENED, GONE]
    assert threads_of_instances() == set()


async def test_a_failing_close_does_not_hide_the_failure_before_it(loader: Loader) -> None:
    class Worse(Scripted):
        def close(self) -> None:
            super().close()
            raise OSError("cannot close either")

    with pytest.raises(OSError, match="cannot close either") as told:
        await loader.load(CONFIG, Worse(("instance", 2)), CONTEXT)
    assert "instance 2 failed" in str(told.value.__context__)
    assert threads_of_instances() == set()


async def test_what_the_config_warms_up_with_is_run_on_every_instance_before_it_is_ready(
    loader: Loader,
) -> None:
    given = WarmUpInput(datatype="FP32", dims=(5,), data=WarmUpData.ZERO)
    config = replace(CONFIG, warm_ups=(WarmUp(batch_size=2, count=2, inputs={"X": given}),))
    backend = Scripted()
    model = await loader.load(config, backend, CONTEXT)
    made = [("instance", "execute", "execute")] * 3
    assert [what for what, _ in backend.events] == ["open", *(what for one in made for what in one)]
    await model.close()


async def test_a_warm_up_that_cannot_be_had_fails_the_load_before_an_instance_is_made(
    loader: Loader,
) -> None:
    given = WarmUpInput(datatype="FP32", dims=(5,), data=WarmUpData.FILE, file="x")
    config = replace(CONFIG, warm_ups=(WarmUp(name="w", inputs={"X": given}),))
    backend = Scripted()
    with pytest.raises(InvalidConfig, match=r"model_warmup\[0\] 'w'.*there is no file 'x'"):
        await loader.load(config, backend, CONTEXT)
    assert backend.events == [OPENED, GONE]


async def test_a_warm_up_that_fails_is_told_and_leaves_nothing_behind(loader: Loader) -> None:
    given = WarmUpInput(datatype="FP32", dims=(5,), data=WarmUpData.ZERO)
    config = replace(CONFIG, warm_ups=(WarmUp(name="w", inputs={"X": given}),))
    backend = Scripted(("execute", 2))
    with pytest.raises(InvalidConfig, match=r"model_warmup\[0\] 'w': failed.*execute 2 failed"):
        await loader.load(config, backend, CONTEXT)
    assert backend.events[-3:] == [("close", 2), ("close", 1), GONE]
    assert threads_of_instances() == set()


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_model_uses_the_servers_cache_if_its_config_says_so(enabled: bool) -> None:
    cache = ResponseCache(1 << 20)
    loader = Loader(ManualClock(), Cores(8), cache=cache)
    model = await loader.load(replace(CONFIG, response_cache=enabled), Scripted(), CONTEXT)
    for _ in range(2):
        await model.infer(InferRequest(model="m", inputs={"X": np.ones((2, 5), np.float32)}))
    assert (model.statistics.cache_hit.count, len(cache)) == ((1, 1) if enabled else (0, 0))
    await model.close()
    assert len(cache) == 0


async def test_without_a_cache_the_model_is_served_and_the_log_says_so_once(
    loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    model = await loader.load(replace(CONFIG, response_cache=True), Scripted(), CONTEXT)
    for _ in range(3):
        await model.infer(InferRequest(model="m", inputs={"X": np.ones((2, 5), np.float32)}))
    assert [record.message for record in caplog.records] == ["response_cache_off"]
    assert (model.statistics.cache_hit.count, model.statistics.cache_miss.count) == (0, 0)
    await model.close()
