"""Engines that have not enough memory: the request is told, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.harness import python_models
from tests.harness.artifacts import write_graph
from tests.harness.faults import RealBed
from tests.harness.repositories import add_model, fake_config
from trivet.backend.exhaustion import is_exhaustion
from trivet.errors import Code, EngineFailed, InvalidInput, OutOfMemory
from trivet.repository.inspection import faults_of_error

MUCH = 10_000_000_000_000  # elements; more bytes than addresses are left

# The limit holds for the process alone; what is asked for is refused at once.
GREEDY = """
    import resource
    import numpy as np

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    class Model:
        def execute(self, inputs):
            much = np.ones(int(inputs["IN"].flat[0]) << 30, np.uint8)
            return {"OUT": np.full_like(inputs["IN"], much.size)}
"""
GRAPH = """
    backend: "onnxruntime"
    input { name: "IN" data_type: TYPE_INT64 dims: [ 1 ] }
    output { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] }
"""


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncGenerator[RealBed, None]:
    add_model(tmp_path, "neighbour")
    made = RealBed(tmp_path, installed=("fake", "python", "onnxruntime"))
    yield made
    await made.close()


def one(value: float) -> np.ndarray:
    return np.full((1, 2), value, np.float32)


async def test_a_request_too_large_for_the_memory_is_told_and_those_in_its_batch_are_answered(
    bed: RealBed, tmp_path: Path
) -> None:
    add_model(tmp_path, "m", fake_config(exhaust="666.0"))
    await bed.follow()
    told = await asyncio.gather(
        *(bed.infer(one(value)) for value in (1, 666, 3)), return_exceptions=True
    )
    assert [not isinstance(each, BaseException) for each in told] == [True, False, True]
    assert isinstance(told[1], OutOfMemory)
    assert (told[1].code, told[1].message) == (
        Code.RESOURCE_EXHAUSTED,
        "model 'm' version 1 had not enough memory for this request (MemoryError); send fewer or"
        " shorter rows at a time, or lower max_batch_size and the number of instances",
    )
    assert bed.index() == {"m/1": "READY", "neighbour/1": "READY"}
    assert sum(bed.model().deaths.values()) == 0


async def test_code_in_python_that_cannot_have_memory_answers_the_next_request(
    bed: RealBed, tmp_path: Path
) -> None:
    python_models.add(tmp_path, "m", GREEDY)
    await bed.follow()
    with pytest.raises(OutOfMemory, match="MemoryError"):
        await bed.infer(one(64))
    assert (await bed.infer(one(0))).outputs["OUT"].tolist() == [[0, 0]]
    assert bed.index() == {"m/1": "READY", "neighbour/1": "READY"}


async def test_an_onnx_graph_that_cannot_have_memory_answers_the_next_request(
    bed: RealBed, tmp_path: Path
) -> None:
    folder = add_model(tmp_path, "m", GRAPH)
    value = helper.make_tensor_value_info
    write_graph(
        folder / "1" / "model.onnx",
        [helper.make_node("ConstantOfShape", ["IN"], ["OUT"])],
        [value("IN", TensorProto.INT64, [1])],
        [value("OUT", TensorProto.FLOAT, [None])],
    )
    await bed.follow()
    with pytest.raises(OutOfMemory, match="onnxruntime: "):
        await bed.infer(np.array([MUCH]))
    assert (await bed.infer(np.array([3]))).outputs["OUT"].tolist() == [0, 0, 0]
    assert bed.index() == {"m/1": "READY", "neighbour/1": "READY"}


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        EngineFailed("onnxruntime: Failed to allocate memory for requested buffer of size 9"),
        EngineFailed("torch: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        EngineFailed("torch: CUDA out of memory. Tried to allocate 9 GiB"),
        EngineFailed("tensorrt: OUT_OF_MEMORY"),
    ],
)
def test_engines_say_it_in_words_of_their_own(error: Exception) -> None:
    assert is_exhaustion(error)
    (fault,) = faults_of_error(error, "m/1", "some")
    assert fault.what.startswith("there is not enough memory to load it (")
    assert fault.cure == "make room, serve fewer models, or fewer instances of this one"


def test_other_failures_are_not_taken_for_it() -> None:
    assert not is_exhaustion(EngineFailed("onnxruntime: no such node"))
    assert not is_exhaustion(InvalidInput("send less"))
