"""LogSettings and TraceSetting, changed at run time by the peer's own client."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.harness.frontend import (
    ScriptedModel,
    Served,
    echo,
    echo_config,
    echo_model,
    run_server,
)
from trivet.clock import SystemClock
from trivet.config import TensorSpec
from trivet.frontend.extras import Extras
from trivet.request import InferRequest, InferResponse, Stages
from trivet.telemetry.logs import Log, LogFormat, LogSettings
from trivet.telemetry.trace_settings import TraceSettings
from trivet.telemetry.tracing import Tracer
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import text_pb2
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub
from trivet_protos.generated.text_pb2_grpc import TextServiceAsyncStub

STAGES = Stages(
    queued_ns=1000,
    queue_ns=10,
    compute_input_ns=20,
    compute_infer_ns=30,
    compute_output_ns=40,
)


async def echo_timed(request: InferRequest) -> InferResponse:
    outputs = {"OUT": request.inputs["IN"]}
    return InferResponse(model=request.model, version=1, outputs=outputs, stages=STAGES)


async def through_steps(request: InferRequest) -> InferResponse:
    outputs, steps = {"OUT": request.inputs["IN"]}, {"first": STAGES, "second": STAGES}
    return InferResponse(model="pipe", version=1, outputs=outputs, stages=STAGES, steps=steps)


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    return tmp_path / "traces.json"


@pytest.fixture
def log() -> Iterator[Log]:
    """A log that is started; what was there before is back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("trivet")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield Log()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture
async def tracer(traces: Path) -> Tracer:
    return Tracer(SystemClock(), TraceSettings(file=str(traces)))


@pytest.fixture
async def client(tracer: Tracer, log: Log) -> AsyncIterator[triton_aio.InferenceServerClient]:
    models = (
        ScriptedModel(echo_config("one"), echo_timed),
        ScriptedModel(echo_config("two"), echo),
        ScriptedModel(echo_config("pipe"), through_steps),
        ScriptedModel(echo_config("many", decoupled=True), echo),
    )
    async with (
        run_server(*models, extras=Extras(tracer=tracer, log=log)) as served,
        triton_aio.InferenceServerClient(served.address) as made,
    ):
        yield made


def vector(columns: int = 2) -> Any:
    return triton.InferInput("IN", [1, columns], "FP32").set_data_from_numpy(
        np.ones((1, columns), np.float32)
    )


async def told(client: triton_aio.InferenceServerClient, model: str | None = None) -> Any:
    answer = await client.get_trace_settings(model, as_json=True)
    return {name: setting.get("value") for name, setting in answer["settings"].items()}


def records(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


DEFAULTS = {
    "trace_level": ["OFF"],
    "trace_rate": ["1000"],
    "trace_count": ["-1"],
    "log_frequency": ["0"],
    "trace_mode": ["triton"],
}


async def test_a_request_is_traced_with_its_stages_once_it_is_asked_for(
    client: triton_aio.InferenceServerClient, traces: Path
) -> None:
    assert await told(client) == {**DEFAULTS, "trace_file": [str(traces)]}
    await client.infer("one", [vector()])
    assert not traces.exists()
    await client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"], "trace_rate": "1"})
    await client.infer("one", [vector()], request_id="r-7")
    head, *stamps = records(traces)
    number = head["id"]
    assert head == {"id": number, "model_name": "one", "model_version": 1, "request_id": "r-7"}
    flat = [(stamp["name"], stamp["ns"]) for one in stamps for stamp in one["timestamps"]]
    assert all(one["id"] == number for one in stamps)
    assert [name for name, _ in flat] == [
        "REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END",
        "COMPUTE_OUTPUT_START", "COMPUTE_END", "REQUEST_END",
    ]  # fmt: skip
    assert [ns for _, ns in flat[1:-1]] == [1000, 1010, 1030, 1060, 1100]
    await client.update_trace_settings(settings={"trace_level": ["OFF"]})
    before = traces.read_text()
    await client.infer("one", [vector()])
    assert traces.read_text() == before


async def test_the_steps_of_a_pipeline_are_traced_below_it(
    client: triton_aio.InferenceServerClient, traces: Path
) -> None:
    await client.update_trace_settings(settings={"trace_level": "TIMESTAMPS", "trace_rate": "1"})
    await client.infer("pipe", [vector()])
    heads = [record for record in records(traces) if "model_name" in record]
    assert [head["model_name"] for head in heads] == ["pipe", "first", "second"]
    assert [head.get("parent_id") for head in heads] == [None, heads[0]["id"], heads[0]["id"]]


async def test_streams_failures_and_decoupled_models_are_traced_too(
    client: triton_aio.InferenceServerClient, traces: Path
) -> None:
    await client.update_trace_settings(settings={"trace_level": "TIMESTAMPS", "trace_rate": "1"})

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for model in ("one", "many"):
            yield {"model_name": model, "inputs": [vector()]}

    async for _, error in client.stream_infer(requests()):
        assert error is None
    with pytest.raises(InferenceServerException):
        wrong = triton.InferInput("IN", [9, 1], "FP32")
        wrong.set_data_from_numpy(np.ones((9, 1), np.float32))
        await client.infer("two", [wrong])
    heads = [record["model_name"] for record in records(traces) if "model_name" in record]
    assert sorted(heads) == ["many", "one", "two"]


async def test_texts_of_the_text_service_are_traced_each(tracer: Tracer, traces: Path) -> None:
    async def embed(request: InferRequest) -> InferResponse:
        vector = np.zeros((1, 2), np.float32)
        return InferResponse(model="embed", version=1, outputs={"EMBEDDING": vector}, stages=STAGES)

    config = echo_config(
        "embed",
        inputs=(TensorSpec(name="TEXT", datatype="BYTES", dims=(1,)),),
        outputs=(TensorSpec(name="EMBEDDING", datatype="FP32", dims=(2,)),),
    )
    tracer.update("", {"trace_level": ["TIMESTAMPS"], "trace_rate": ["1"]})
    async with run_server(ScriptedModel(config, embed), extras=Extras(tracer=tracer)) as served:
        stub = TextServiceAsyncStub(served.channel)
        await stub.Embed(text_pb2.EmbedRequest(texts=["a", "b", "c"]))
    heads = [record["model_name"] for record in records(traces) if "model_name" in record]
    assert heads == ["embed"] * 3


async def test_tensors_are_traced_with_their_values(
    client: triton_aio.InferenceServerClient, traces: Path
) -> None:
    settings = {"trace_level": ["TIMESTAMPS", "TENSORS"], "trace_rate": "1"}
    await client.update_trace_settings(settings=settings)
    assert (await told(client))["trace_level"] == ["TIMESTAMPS", "TENSORS"]
    await client.infer("two", [vector()])
    told_tensors = {
        record["activity"]: record["tensor"] for record in records(traces) if "tensor" in record
    }
    one = {"data": "1.0,1.0", "shape": "1,2", "dtype": "FP32"}
    assert told_tensors == {
        "TENSOR_QUEUE_INPUT": {"name": "IN", **one},
        "TENSOR_BACKEND_OUTPUT": {"name": "OUT", **one},
    }


async def test_every_so_manieth_request_is_traced_until_the_count_is_reached(
    client: triton_aio.InferenceServerClient, traces: Path
) -> None:
    settings = {"trace_level": "TIMESTAMPS", "trace_rate": "3", "trace_count": "2"}
    await client.update_trace_settings(settings=settings)
    for number in range(12):
        await client.infer("one", [vector()], request_id=str(number))
    heads = [record for record in records(traces) if "request_id" in record]
    assert [head["request_id"] for head in heads] == ["2", "5"]
    assert (await told(client))["trace_count"] == ["0"]


async def test_a_frequency_spreads_traces_over_files(
    client: triton_aio.InferenceServerClient, traces: Path, tracer: Tracer
) -> None:
    settings = {"trace_level": "TIMESTAMPS", "trace_rate": "1", "log_frequency": "2"}
    await client.update_trace_settings(settings=settings)
    for _ in range(5):
        await client.infer("one", [vector()])
    files = [traces.with_name(f"traces.json.{number}") for number in range(3)]
    assert [file.exists() for file in files] == [True, True, False]
    tracer.close()  # the last, incomplete one is written when the server ends
    counts = [sum("model_name" in record for record in records(file)) for file in files]
    assert counts == [2, 2, 1]
    assert not traces.exists()


async def test_a_model_has_settings_of_its_own_until_they_are_cleared(
    client: triton_aio.InferenceServerClient, traces: Path
) -> None:
    own = {"trace_level": "TIMESTAMPS", "trace_rate": "2"}
    await client.update_trace_settings("one", own)
    assert (await told(client))["trace_level"] == ["OFF"]
    assert (await told(client, "two"))["trace_level"] == ["OFF"]
    assert (await told(client, "one"))["trace_rate"] == ["2"]
    await client.update_trace_settings(settings={"trace_rate": "5", "log_frequency": "9"})
    mine = await told(client, "one")
    assert (mine["trace_rate"], mine["log_frequency"]) == (["2"], ["9"])  # the rest follows
    await client.infer("two", [vector()])
    assert not traces.exists()
    await client.update_trace_settings("one", {"trace_level": None, "trace_rate": None})
    assert await told(client, "one") == await told(client)
    await client.update_trace_settings(settings={"trace_rate": None, "log_frequency": None})
    assert await told(client) == {**DEFAULTS, "trace_file": [str(traces)]}


@pytest.mark.parametrize(
    ("settings", "status", "text"),
    [
        ({"trace_file": "/etc/x"}, "UNIMPLEMENTED", "can not be updated through network protocol"),
        ({"trace_mode": "opentelemetry"}, "UNIMPLEMENTED", "'opentelemetry' can not be updated"),
        ({"trace_rate": "often"}, "INVALID_ARGUMENT", "Unable to parse 'trace_rate', got: often"),
        ({"trace_rate": "-1"}, "INVALID_ARGUMENT", "from 0 to 4294967295"),
        ({"trace_count": "-2"}, "INVALID_ARGUMENT", "from -1 to 2147483647"),
        ({"trace_rate": ["1", "2"]}, "INVALID_ARGUMENT", "expect only 1 value for 'trace_rate'"),
        ({"trace_level": "ALL"}, "INVALID_ARGUMENT", "trace_level 'ALL' is unknown"),
        ({"trace_level": ["OFF", "TIMESTAMPS"]}, "INVALID_ARGUMENT", "only one trace level 'OFF'"),
        ({"trace_colour": "red"}, "INVALID_ARGUMENT", "unknown trace setting 'trace_colour'"),
    ],
)
async def test_a_wrong_trace_setting_is_refused_and_changes_nothing(
    client: triton_aio.InferenceServerClient, settings: Any, status: str, text: str
) -> None:
    before = await told(client)
    with pytest.raises(InferenceServerException, match=text) as refused:
        await client.update_trace_settings(settings={"log_frequency": "7", **settings})
    assert refused.value.status() == f"StatusCode.{status}"
    assert await told(client) == before


async def test_settings_of_an_unknown_model_are_refused(
    client: triton_aio.InferenceServerClient,
) -> None:
    with pytest.raises(InferenceServerException, match="Request for unknown model : x") as refused:
        await client.get_trace_settings("x")
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


async def test_without_a_file_nothing_can_be_traced(server: Served) -> None:
    async with triton_aio.InferenceServerClient(server.address) as client:
        with pytest.raises(InferenceServerException, match="trace file name is not given"):
            await client.update_trace_settings(settings={"trace_level": "TIMESTAMPS"})


async def test_a_trace_that_cannot_be_written_fails_no_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = TraceSettings(file=str(tmp_path / "no" / "x"), levels=("TIMESTAMPS",), rate=1)
    extras = Extras(tracer=Tracer(SystemClock(), settings))
    async with (
        run_server(echo_model(), extras=extras) as served,
        triton_aio.InferenceServerClient(served.address) as client,
    ):
        for _ in range(3):
            await client.infer("echo", [vector()])
    assert [r.getMessage() for r in caplog.records if r.levelno >= 30] == ["trace_not_written"]


LOG_DEFAULTS = {
    "log_file": {"string_param": ""},
    "log_info": {"bool_param": True},
    "log_warning": {"bool_param": True},
    "log_error": {"bool_param": True},
    "log_verbose_level": {"uint32_param": 0},
    "log_format": {"string_param": "default"},
}


async def test_what_is_logged_changes_while_serving(
    client: triton_aio.InferenceServerClient, log: Log, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    log.change(LogSettings(file=str(path)))
    log.start()
    ours = logging.getLogger("trivet.some_room")

    def write() -> list[str]:
        path.write_text("")
        for level in ("debug", "info", "warning", "error"):
            getattr(ours, level)(level, extra={"n": 1})
        return path.read_text().splitlines()

    async def change(**settings: Any) -> Any:
        answer = await client.update_log_settings(settings, as_json=True)
        return answer["settings"]

    assert [line.split()[3] for line in write()] == ["info", "warning", "error"]
    now = await change(log_info=False, log_verbose_level=1)
    assert (now["log_info"], now["log_verbose_level"]) == (
        {"bool_param": False},
        {"uint32_param": 1},
    )
    assert [line.split()[3] for line in write()] == ["debug", "warning", "error"]
    await change(log_warning=False, log_error=False, log_verbose_level=0)
    assert write() == []
    await change(log_error=True, log_format="ISO8601")
    (line,) = write()
    assert line.endswith("Z ERROR error n=1") and line[10] == "T"
    assert log.settings.format is LogFormat.ISO8601
    assert log.settings.file == str(path)


async def test_log_settings_are_told(client: triton_aio.InferenceServerClient) -> None:
    answer = await client.get_log_settings(as_json=True)
    assert answer["settings"] == LOG_DEFAULTS
    answer = await client.update_log_settings({"log_info": None}, as_json=True)
    assert answer["settings"] == LOG_DEFAULTS


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("log_info", {"uint32_param": 1}, "expect boolean for 'log_info'; it came as uint32_param"),
        ("log_verbose_level", {"string_param": "1"}, "expect uint32 for 'log_verbose_level'"),
        ("log_format", {"bool_param": True}, "expect string for 'log_format'"),
    ],
)
async def test_a_log_setting_of_another_type_is_refused(
    server: Served, name: str, value: Any, text: str
) -> None:
    request = pb.LogSettingsRequest(settings={name: pb.LogSettingsRequest.SettingValue(**value)})
    with pytest.raises(grpc.aio.AioRpcError, match=text) as refused:
        await GRPCInferenceServiceAsyncStub(server.channel).LogSettings(request)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("settings", "status", "text"),
    [
        ({"log_file": "/etc/x"}, "UNIMPLEMENTED", "can not be updated through network protocol"),
        ({"log_format": "xml"}, "INVALID_ARGUMENT", "log_format, got: xml; send 'default' or"),
        ({"log_colour": True}, "INVALID_ARGUMENT", "unknown log setting 'log_colour'"),
    ],
)
async def test_a_wrong_log_setting_is_refused_and_changes_nothing(
    client: triton_aio.InferenceServerClient, settings: Any, status: str, text: str
) -> None:
    with pytest.raises(InferenceServerException, match=text) as refused:
        await client.update_log_settings({"log_info": False, **settings})
    assert refused.value.status() == f"StatusCode.{status}"
    assert (await client.get_log_settings(as_json=True))["settings"] == LOG_DEFAULTS
