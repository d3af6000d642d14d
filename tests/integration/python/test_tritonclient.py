"""Models in Python under the real tritonclient: Triton's files as they are, and their failures."""

from __future__ import annotations

import json
import queue
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.harness.processes import is_running, kill
from tests.harness.server import ServerProcess, serving
from tests.integration.python import models
from trivet.transport.options import Transport

SWITCHED_ON = "--allow-python-backend=true"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "stderr.log"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    models.write_all(folder)
    return folder


@pytest.fixture(scope="module")
def server(repository: Path, log: Path, transport: Transport) -> Iterator[ServerProcess]:
    with serving(repository, SWITCHED_ON, f"--transport={transport}", log=log) as process:
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.address) as made:
        yield made


def given(value: float, size: int = 2) -> list[triton.InferInput]:
    tensor = triton.InferInput("IN", [1, size], "FP32")
    tensor.set_data_from_numpy(np.full((1, size), value, np.float32))
    return [tensor]


def ask(client: triton.InferenceServerClient, model: str, value: float) -> float:
    answer = client.infer(model, given(value)).as_numpy("OUT")
    assert answer is not None
    return float(answer[0, 0])


def tell(client: triton.InferenceServerClient, model: str = "telling", **more: Any) -> Any:
    answer = client.infer(model, given(0), **more).as_numpy("TOLD")
    assert answer is not None
    return json.loads(answer[0, 0])


def until(condition: Callable[[], bool]) -> None:
    """Ask until it is so; fails after ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def array_of(name: str) -> np.ndarray:
    if name == "STRING":
        return np.array([[b"", "Zoë".encode(), b"\0\xff"]], dtype=object)
    if name == "BOOL":
        return np.array([[True, False, True]])
    if name == "BF16":
        return np.array([[1.5, -2, 0]], ml_dtypes.bfloat16)
    kinds = {"FP": "float", "UI": "uint", "IN": "int"}
    dtype = np.dtype(kinds[name[:2]] + name.lstrip("FPUINT"))
    return np.array([[0, 1, 100]]).astype(dtype)


def test_every_type_goes_through_as_it_is(client: triton.InferenceServerClient) -> None:
    inputs = []
    for name in models.ALL_TYPES:
        array = array_of(name)
        wire = "BYTES" if name == "STRING" else name
        tensor = triton.InferInput(f"IN_{name}", list(array.shape), wire)
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    answer = client.infer("types", inputs)
    for name in models.ALL_TYPES:
        found = answer.as_numpy(f"OUT_{name}")
        assert found is not None
        np.testing.assert_array_equal(found, array_of(name).astype(found.dtype), err_msg=name)


def test_the_model_sees_what_the_request_brought(client: triton.InferenceServerClient) -> None:
    told = tell(
        client,
        request_id="seven",
        outputs=[triton.InferRequestedOutput("TOLD")],
        parameters={"temperature": "low", "depth": 3, "dry": True},
        priority=0,
    )
    assert told["id"] == "seven"
    assert told["outputs"] == ["TOLD"]
    assert told["parameters"] == {"temperature": "low", "depth": 3, "dry": True}
    assert told["type"] == "object_"
    assert not told["cancelled"]
    assert not told["decoupled"]
    assert told["args"].keys() == {
        *("model_config", "model_instance_kind", "model_instance_device_id", "model_name"),
        *("model_instance_name", "model_repository", "model_version"),
    }
    assert told["args"]["model_instance_name"] == "telling_0"
    config = json.loads(told["args"]["model_config"])
    assert config["input"][0]["dims"] == [-1]
    assert tell(client)["outputs"] == ["TOLD", "COUNT"]


def test_what_the_model_says_beside_its_tensors_reaches_the_client(
    client: triton.InferenceServerClient,
) -> None:
    response = client.infer("telling", given(0)).get_response()
    parameters = {
        name: getattr(value, value.WhichOneof("parameter_choice"))
        for name, value in response.parameters.items()
    }
    assert parameters == {"seen": True, "times": 3, "by": "model", "share": 0.5}


def test_a_sequence_is_told_by_its_id_and_its_flags(client: triton.InferenceServerClient) -> None:
    first = tell(client, "sequence", sequence_id=42, sequence_start=True)
    assert (first["correlation"], first["flags"]) == (42, 1)
    last = tell(client, "sequence", sequence_id=42, sequence_end=True)
    assert (last["correlation"], last["flags"]) == (42, 2)
    assert last["parameters"] == {}


@pytest.mark.parametrize(
    ("value", "status", "text"),
    [
        (1, "NOT_FOUND", "no such word"),
        (2, "INTERNAL", "KeyError at line 16: 'in mine'"),
        (4, "INTERNAL", "raised on purpose"),
    ],
)
def test_an_error_is_its_requests_alone(
    client: triton.InferenceServerClient, log: Path, value: float, status: str, text: str
) -> None:
    with ThreadPoolExecutor(8) as threads:
        others = [threads.submit(ask, client, "failing", 10 + n) for n in range(20)]
        with pytest.raises(InferenceServerException) as failed:
            ask(client, "failing", value)
        assert [other.result() for other in others] == [10.0 + n for n in range(20)]
    assert failed.value.status() == f"StatusCode.{status}"
    message = failed.value.message()
    assert message == f"[request id: <id_unknown>] model 'failing': {text}"
    if value == 2:
        until(lambda: "Traceback (most recent call last)" in log.read_text())


def stream(
    client: triton.InferenceServerClient, model: str, value: float
) -> tuple[list[float], str]:
    """What a decoupled model answers, and the error at its end."""
    told: queue.Queue[tuple[triton.InferResult | None, Exception | None]] = queue.Queue()
    client.start_stream(lambda result, error: told.put((result, error)))
    client.async_stream_infer(model, given(value, 1), enable_empty_final_response=True)
    values: list[float] = []
    try:
        while True:
            result, error = told.get(timeout=10)
            if error is not None:
                return values, str(error)
            assert result is not None
            if (out := result.as_numpy("OUT")) is not None:
                values.append(float(out[0, 0]))
            if result.get_response().parameters["triton_final_response"].bool_param:
                return values, ""
    finally:
        client.stop_stream()


@pytest.mark.parametrize("count", [0, 1, 5, 200])
def test_a_decoupled_model_answers_from_threads_of_its_own(
    client: triton.InferenceServerClient, count: int
) -> None:
    assert stream(client, "repeating", count) == ([*map(float, range(count))], "")


def test_an_error_ends_a_stream_after_the_answers_before_it(
    client: triton.InferenceServerClient,
) -> None:
    values, error = stream(client, "repeating", 13)
    assert len(values) == 13
    assert "thirteen is too many" in error
    assert stream(client, "repeating", 2) == ([0, 1], "")


def test_a_generator_is_closed_when_its_caller_leaves(
    client: triton.InferenceServerClient, repository: Path
) -> None:
    answers: queue.Queue[object] = queue.Queue()
    client.start_stream(lambda result, error: answers.put(result))
    client.async_stream_infer("endless", given(0, 1))
    for _ in range(3):
        assert answers.get(timeout=10) is not None
    client.stop_stream(cancel_requests=True)
    heard = repository / "endless" / "1" / "heard"
    until(heard.exists)


def test_code_hears_that_a_unary_caller_gave_up(
    client: triton.InferenceServerClient, repository: Path
) -> None:
    call = client.async_infer("patient", given(0), lambda result, error: None)
    version = repository / "patient" / "1"
    until((version / "began").exists)
    call.cancel()
    until((version / "heard").exists)


def test_a_model_asks_another_model(client: triton.InferenceServerClient) -> None:
    assert ask(client, "asking", 21) == 42
    with pytest.raises(InferenceServerException, match="'nobody'") as failed:
        ask(client, "asking", 100)
    assert failed.value.status() == "StatusCode.NOT_FOUND"


def test_what_the_config_leaves_out_the_model_may_tell(
    client: triton.InferenceServerClient,
) -> None:
    config = client.get_model_config("completing").config
    assert config.max_batch_size == 6
    assert config.HasField("dynamic_batching")
    tensor = triton.InferInput("A", [3, 2], "INT32")
    tensor.set_data_from_numpy(np.arange(6, dtype=np.int32).reshape(3, 2))
    answer = client.infer("completing", [tensor]).as_numpy("B")
    assert answer is not None
    assert answer.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_what_it_prints_is_in_the_log_with_its_name(
    client: triton.InferenceServerClient, log: Path
) -> None:
    written = log.read_text()
    assert "INFO model_output model=telling version=1 text=it printed this" in written
    assert "WARNING model_output model=telling version=1 text=it warned of this" in written


def test_a_process_that_is_killed_costs_no_answer(
    client: triton.InferenceServerClient, log: Path
) -> None:
    pid = tell(client)["pid"]
    with ThreadPoolExecutor(8) as threads:
        others = [threads.submit(ask, client, "identity", n) for n in range(200)]
        kill(pid)
        own = [threads.submit(tell, client) for _ in range(20)]
        assert pid not in {one.result()["pid"] for one in own}
        assert [other.result() for other in others] == [*map(float, range(200))]
    until(lambda: "model=telling version=1 instance=0" in log.read_text())


def test_a_request_that_ends_processes_is_told_so_and_its_neighbours_are_answered(
    client: triton.InferenceServerClient,
) -> None:
    with ThreadPoolExecutor(8) as threads:
        others = [threads.submit(ask, client, "failing", 10 + n) for n in range(40)]
        with pytest.raises(InferenceServerException) as failed:
            ask(client, "failing", 3)
        assert [other.result() for other in others] == [10.0 + n for n in range(40)]
    assert failed.value.status() == "StatusCode.INTERNAL"
    assert "two instances died while they computed this" in failed.value.message()
    assert "its process ended by itself, with status 7" in failed.value.message()


def test_no_process_outlives_the_server(tmp_path: Path) -> None:
    models.write_telling(tmp_path)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with serving(tmp_path, SWITCHED_ON) as process:
            with triton.InferenceServerClient(process.address) as client:
                pid = tell(client)["pid"]
            process.process.send_signal(number)
            process.process.wait(30)
            until(partial(_is_gone, pid))


def _is_gone(pid: int) -> bool:
    return not is_running(pid)


def test_code_is_not_run_unless_switched_on(tmp_path: Path, log: Path) -> None:
    own = log.with_name("refused.log")
    models.write_telling(tmp_path)
    with (
        serving(tmp_path, "--exit-on-error=false", log=own) as process,
        triton.InferenceServerClient(process.address) as client,
    ):
        assert not client.is_model_ready("telling")
        with pytest.raises(InferenceServerException):
            tell(client)
    assert "backend 'python': runs Python code out of the model repository" in own.read_text()
    assert "model_output" not in own.read_text()
