"""Instances, and the threads of their engine, run on the cores that a config names."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.harness.artifacts import write_graph
from trivet.backend.contract import LoadContext
from trivet.backend.cores import Cores
from trivet.clock import SystemClock
from trivet.config import InstanceGroup, ModelConfig, TensorSpec
from trivet.config_file import Faults
from trivet.errors import InvalidConfig
from trivet.model.affinity import check_affinity, keep_to, usable_cores
from trivet.model.loading import Loader
from trivet.request import InferRequest
from trivet_backends.onnxruntime import OnnxRuntimeBackend

USABLE = usable_cores()
LAST = max(USABLE)
CONFIG = ModelConfig(
    name="m",
    inputs=(TensorSpec(name="x", datatype="FP32", dims=(2,)),),
    outputs=(TensorSpec(name="y", datatype="FP32", dims=(2,)),),
    instance_groups=(InstanceGroup(count=2),),
    parameters={"intra_op_thread_count": "3"},
    cpu_affinity=(LAST,),
)


def cores_of_threads() -> dict[int, set[int]]:
    """The cores of every thread of this process but asyncio's own helpers."""
    helpers = {t.native_id for t in threading.enumerate() if t.name.startswith("asyncio")}
    tids = {int(task.name) for task in Path("/proc/self/task").iterdir()} - helpers
    return {tid: os.sched_getaffinity(tid) for tid in tids}


def context(folder: Path) -> LoadContext:
    value = helper.make_tensor_value_info
    write_graph(
        folder / "model.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", TensorProto.FLOAT, [2])],
        [value("y", TensorProto.FLOAT, [2])],
    )
    return LoadContext(version=1, path=folder, where="m/1", threads=1)


@pytest.mark.skipif(len(USABLE) < 2, reason="one core is all there is")
async def test_instances_and_the_engines_own_threads_are_kept_to_the_cores(tmp_path: Path) -> None:
    before = cores_of_threads()
    loader = Loader(SystemClock(), Cores(len(USABLE)))
    model = await loader.load(CONFIG, OnnxRuntimeBackend(), context(tmp_path))
    made = {tid: cores for tid, cores in cores_of_threads().items() if tid not in before}
    assert len(made) >= 2 + 2  # the instances', and the session's beside its caller
    assert all(cores == {LAST} for cores in made.values()), made
    answer = await model.infer(InferRequest(model="m", inputs={"x": np.ones(2, np.float32)}))
    assert answer.outputs["y"].tolist() == [1, 1]
    await model.close()
    for thread in threading.enumerate():  # those of the server may go where they could before
        assert thread.native_id is not None
        with suppress(ProcessLookupError):  # it has just ended
            assert os.sched_getaffinity(thread.native_id) == USABLE


def test_without_a_wish_nothing_is_pinned() -> None:
    keep_to(())
    assert os.sched_getaffinity(0) == USABLE


async def test_cores_the_process_may_not_use_are_refused_and_the_others_named(
    tmp_path: Path,
) -> None:
    config = replace(CONFIG, cpu_affinity=(LAST, LAST + 1, LAST + 7))
    usable = ", ".join(map(str, sorted(USABLE)))
    told = (
        rf'm/config.pbtxt: parameters\["cpu_affinity"\]: the process may not use core {LAST + 1},'
        rf" {LAST + 7}; name some of {usable}"
    )
    with pytest.raises(InvalidConfig, match=told):
        await Loader(SystemClock(), Cores(2)).load(config, OnnxRuntimeBackend(), context(tmp_path))


def test_cores_that_may_be_used_are_no_fault() -> None:
    faults = Faults()
    check_affinity(replace(CONFIG, cpu_affinity=(2, 5)), {1, 2, 5}, faults)
    assert not faults


def test_no_more_engine_threads_than_cores_named() -> None:
    loader = Loader(SystemClock(), Cores(8))
    config = replace(CONFIG, instance_groups=(InstanceGroup(count=2),))
    named = [loader.threads(replace(config, cpu_affinity=tuple(range(n)))) for n in (0, 1, 4, 6)]
    assert named == [4, 1, 2, 3]
