"""The peer's own client works unmodified: sync, asyncio and streaming."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.harness.frontend import ScriptedModel, Served, echo, echo_config, run_server
from trivet.config import TensorSpec
from trivet.request import InferRequest, InferResponse, ParameterValue

DTYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
    "UINT64": np.uint64, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32,
    "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip


def vector(array: np.ndarray, datatype: str = "FP32", kind: Any = triton) -> Any:
    tensor = kind.InferInput("IN", array.shape, datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def ask_everything(address: str) -> dict[str, Any]:
    with triton.InferenceServerClient(address) as client:
        array = np.arange(6, dtype=np.float32).reshape(2, 3)
        result = client.infer(
            "echo",
            [vector(array)],
            outputs=[triton.InferRequestedOutput("OUT")],
            request_id="42",
            sequence_id=7,
            sequence_start=True,
            priority=1,
            timeout=1000,
            parameters={"mine": "yes", "count": 3, "flag": True},
        )
        np.testing.assert_array_equal(result.as_numpy("OUT"), array)
        return {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready("echo", "1"),
            "unknown_ready": client.is_model_ready("nobody"),
            "metadata": client.get_server_metadata(as_json=True),
            "model": client.get_model_metadata("echo", as_json=True),
            "config": client.get_model_config("echo", as_json=True)["config"],
            "index": client.get_model_repository_index(as_json=True),
            "statistics": client.get_inference_statistics("echo", as_json=True),
            "response": result.get_response(as_json=True),
        }


async def test_the_sync_client_gets_every_answer(server: Served) -> None:
    told = await asyncio.to_thread(ask_everything, server.address)
    assert told["live"] and told["ready"] and told["model_ready"]
    assert told["unknown_ready"] is False
    assert told["metadata"]["name"] == "triton"
    assert told["model"]["versions"] == ["1"]
    assert told["config"]["name"] == "echo"
    assert told["index"]["models"] == [{"name": "echo", "version": "1", "state": "READY"}]
    assert told["statistics"]["model_stats"][0]["name"] == "echo"
    assert told["response"]["id"] == "42"
    assert "triton_final_response" not in told["response"].get("parameters", {})


async def test_parameters_reach_the_model_and_come_back() -> None:
    seen: dict[str, object] = {}

    async def answer(request: InferRequest) -> InferResponse:
        seen.update(request.parameters)
        told: dict[str, ParameterValue] = {
            "tokens": 12,
            "truncated": False,
            "label": "é",
            "score": 0.5,
        }
        outputs = {"OUT": request.inputs["IN"]}
        return InferResponse(model="echo", version=1, outputs=outputs, parameters=told)

    async with (
        run_server(ScriptedModel(echo_config(), answer)) as served,
        triton_aio.InferenceServerClient(served.address) as client,
    ):
        array = np.ones((1, 2), np.float32)
        parameters = {"top_k": 3, "truncate": True, "word": "x"}
        result = await client.infer("echo", [vector(array)], parameters=parameters)
    assert {name: seen[name] for name in parameters} == parameters
    assert result.get_response(as_json=True)["parameters"] == {
        "tokens": {"int64_param": "12"},
        "truncated": {"bool_param": False},
        "label": {"string_param": "é"},
        "score": {"double_param": 0.5},
    }


@pytest.mark.parametrize("datatype", [*DTYPES, "BF16", "BYTES"])
async def test_every_datatype_goes_there_and_back(datatype: str) -> None:
    spec = {"datatype": datatype, "dims": (-1,)}
    config = echo_config(
        inputs=(TensorSpec(name="IN", **spec),),  # type: ignore[arg-type]
        outputs=(TensorSpec(name="OUT", **spec),),  # type: ignore[arg-type]
    )
    if datatype == "BYTES":
        array = np.array([[b"", b"a\0b", "ü".encode()]], dtype=object)
    elif datatype == "BF16":
        array = np.array([[0, 1, -2.5]], ml_dtypes.bfloat16)
    else:
        array = np.array([[0, 1, 1]]).astype(DTYPES[datatype])
    async with (
        run_server(ScriptedModel(config, echo)) as served,
        triton_aio.InferenceServerClient(served.address) as client,
    ):
        result = await client.infer("echo", [vector(array, datatype)])
    assert result.get_output("OUT").datatype == datatype
    np.testing.assert_array_equal(result.as_numpy("OUT"), array)


async def test_the_asyncio_client_is_told_a_status(server: Served) -> None:
    async with triton_aio.InferenceServerClient(server.address) as client:
        with pytest.raises(InferenceServerException) as refused:
            await client.infer("nobody", [vector(np.ones((1, 1), np.float32))])
    assert refused.value.status() == "StatusCode.NOT_FOUND"
    assert "Request for unknown model" in refused.value.message()


async def test_the_asyncio_client_streams(server: Served) -> None:
    async def requests() -> Any:
        for number in range(20):
            array = np.full((1, 2), number, np.float32)
            model = "nobody" if number == 7 else "echo"
            yield {"model_name": model, "inputs": [vector(array)], "request_id": str(number)}

    answered = []
    async with triton_aio.InferenceServerClient(server.address) as client:
        async for result, error in client.stream_infer(requests()):
            if error is not None:
                assert "Request for unknown model: 'nobody'" in error.message()
                answered.append(7)
                continue
            response = result.get_response()
            assert response.parameters["triton_final_response"].bool_param
            assert result.as_numpy("OUT")[0, 0] == int(response.id)
            answered.append(int(response.id))
    assert answered == list(range(20))


def stream_in_a_thread(address: str, count: int) -> list[tuple[str, float]]:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(address) as client:
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        for number in range(count):
            array = np.full((1, 1), number, np.float32)
            client.async_stream_infer("echo", [vector(array)], request_id=str(number))
        got = [answers.get(timeout=10) for _ in range(count)]
        client.stop_stream()
    assert all(error is None for _, error in got)
    return [(result.get_response().id, float(result.as_numpy("OUT")[0, 0])) for result, _ in got]


async def test_the_sync_client_streams(server: Served) -> None:
    got = await asyncio.to_thread(stream_in_a_thread, server.address, 50)
    assert got == [(str(number), float(number)) for number in range(50)]


async def test_only_the_outputs_asked_for_come_in_the_order_asked_for() -> None:
    async def answer(request: InferRequest) -> InferResponse:
        outputs = {name: np.full((1, 1), place, np.float32) for place, name in enumerate("ABC")}
        return InferResponse(model="echo", version=1, outputs=outputs)

    specs = tuple(TensorSpec(name=name, datatype="FP32", dims=(1,)) for name in "ABC")
    async with (
        run_server(ScriptedModel(echo_config(outputs=specs), answer)) as served,
        triton_aio.InferenceServerClient(served.address) as client,
    ):
        asked = [triton.InferRequestedOutput(name) for name in "CA"]
        chosen = await client.infer("echo", [vector(np.ones((1, 1), np.float32))], outputs=asked)
        every = await client.infer("echo", [vector(np.ones((1, 1), np.float32))])
    assert [output.name for output in chosen.get_response().outputs] == ["C", "A"]
    assert chosen.as_numpy("C") == 2 and chosen.as_numpy("A") == 0
    assert [output.name for output in every.get_response().outputs] == ["A", "B", "C"]
