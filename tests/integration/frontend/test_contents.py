"""Every data type in every way it may travel; scalars and tensors without elements."""

from __future__ import annotations

from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest

from tests.harness.frontend import ScriptedModel, echo, echo_config, run_server
from trivet.config import TensorSpec
from trivet_protos import wire
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

TYPED: dict[str, tuple[str, list[Any]]] = {
    "BOOL": ("bool_contents", [True, False]),
    "UINT8": ("uint_contents", [0, 255]),
    "UINT16": ("uint_contents", [0, 2**16 - 1]),
    "UINT32": ("uint_contents", [0, 2**32 - 1]),
    "UINT64": ("uint64_contents", [0, 2**64 - 1]),
    "INT8": ("int_contents", [-128, 127]),
    "INT16": ("int_contents", [-(2**15), 2**15 - 1]),
    "INT32": ("int_contents", [-(2**31), 2**31 - 1]),
    "INT64": ("int64_contents", [-(2**63), 2**63 - 1]),
    "FP32": ("fp32_contents", [-0.5, float("inf")]),
    "FP64": ("fp64_contents", [-0.1, 1e308]),
    "BYTES": ("bytes_contents", [b"", b"\xff\0a"]),
}
DATATYPES = [*TYPED, "FP16", "BF16"]


def model(datatype: str, dims: tuple[int, ...], max_batch_size: int = 0) -> ScriptedModel:
    config = echo_config(
        max_batch_size=max_batch_size,
        inputs=(TensorSpec(name="IN", datatype=datatype, dims=dims),),
        outputs=(TensorSpec(name="OUT", datatype=datatype, dims=dims),),
    )
    return ScriptedModel(config, echo)


def raw_request(array: np.ndarray, datatype: str) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="echo")
    request.inputs.add(name="IN", datatype=datatype, shape=array.shape)
    request.raw_input_contents.append(wire.encode_raw(array))
    return request


async def answer(served: ScriptedModel, request: pb.ModelInferRequest) -> Any:
    async with run_server(served) as server:
        got = await GRPCInferenceServiceAsyncStub(server.channel).ModelInfer(request)
    (output,), (raw,) = got.outputs, got.raw_output_contents
    assert not output.HasField("contents")  # answers are always raw
    return output.datatype, wire.decode_raw(raw, output.datatype, tuple(output.shape))


def values(datatype: str) -> np.ndarray:
    if datatype == "BYTES":
        return np.array(TYPED[datatype][1], dtype=object)
    if datatype in TYPED:
        return np.array(TYPED[datatype][1], dtype=wire.numpy_dtype(datatype))
    kind = ml_dtypes.bfloat16 if datatype == "BF16" else np.float16
    return np.array([-0.5, 3], dtype=kind)


@pytest.mark.parametrize("datatype", TYPED)
async def test_typed_contents_arrive_whole(datatype: str) -> None:
    field, sent = TYPED[datatype]
    request = pb.ModelInferRequest(model_name="echo")
    given = request.inputs.add(name="IN", datatype=datatype, shape=[2])
    getattr(given.contents, field).extend(sent)
    told, array = await answer(model(datatype, (-1,)), request)
    assert told == datatype
    np.testing.assert_array_equal(array, values(datatype))


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
async def test_half_precision_has_no_typed_contents(datatype: str) -> None:
    request = pb.ModelInferRequest(model_name="echo")
    request.inputs.add(name="IN", datatype=datatype, shape=[1]).contents.fp32_contents.append(1)
    with pytest.raises(grpc.aio.AioRpcError, match="send it in raw_input_contents") as refused:
        await answer(model(datatype, (-1,)), request)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("datatype", DATATYPES)
async def test_raw_contents_arrive_whole(datatype: str) -> None:
    told, array = await answer(model(datatype, (-1,)), raw_request(values(datatype), datatype))
    assert told == datatype
    np.testing.assert_array_equal(array, values(datatype))


@pytest.mark.parametrize("datatype", DATATYPES)
async def test_a_scalar_is_a_tensor_without_dimensions(datatype: str) -> None:
    scalar = values(datatype)[1:].reshape(())
    told, array = await answer(model(datatype, ()), raw_request(scalar, datatype))
    assert (told, array.shape) == (datatype, ())
    assert array[()] == scalar[()]


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize(("max_batch_size", "shape"), [(0, (0,)), (8, (2, 0))])
async def test_a_tensor_may_be_empty(
    datatype: str, max_batch_size: int, shape: tuple[int, ...]
) -> None:
    empty = np.empty(shape, values(datatype).dtype)
    served = model(datatype, (-1,), max_batch_size)
    told, array = await answer(served, raw_request(empty, datatype))
    assert (told, array.shape) == (datatype, shape)
    if datatype in TYPED:
        request = pb.ModelInferRequest(model_name="echo")
        given = request.inputs.add(name="IN", datatype=datatype, shape=shape)
        given.contents.SetInParent()
        assert (await answer(served, request))[1].shape == shape
