"""Instances that die under the real tritonclient: nothing is lost, and the index says why."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from trivet.transport.options import Transport

DEADLY = 666.0
THREE = "instance_group { count: 3 }"
TWO = "instance_group { count: 2 }"
SEQUENCES = "sequence_batching { max_sequence_idle_microseconds: 60000000 }"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "stderr.log"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, log: Path, transport: Transport
) -> Iterator[ServerProcess]:
    """Models that 666 kills; of "last" and of "mayfly", which has three, no more can be made."""
    repository = tmp_path_factory.mktemp("repository")
    add_model(repository, "two", fake_config(more=TWO, die=DEADLY, delay_us=2_000))
    add_model(repository, "last", fake_config(die=DEADLY, instances_in_all=1))
    decoupled = "model_transaction_policy { decoupled: true }"
    add_model(repository, "stream", fake_config(more=decoupled, die=DEADLY))
    add_model(repository, "sequence", fake_config(batching=SEQUENCES, die=DEADLY))
    add_model(repository, "mayfly", fake_config(more=THREE, die=DEADLY, instances_in_all=3))
    with serving(repository, f"--transport={transport}", log=log) as process:
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.address) as made:
        yield made


def inputs(value: float) -> list[triton.InferInput]:
    given = triton.InferInput("IN", [1, 2], "FP32")
    given.set_data_from_numpy(np.full((1, 2), value, np.float32))
    return [given]


def told(client: triton.InferenceServerClient, model: str) -> tuple[str, str]:
    """State and reason of the index."""
    index = client.get_model_repository_index().models
    return next((entry.state, entry.reason) for entry in index if entry.name == model)


def until(condition: Callable[[], bool]) -> None:
    """Ask until it is so; fails after ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_callers_beside_a_deadly_request_get_their_answers(
    server: ServerProcess, client: triton.InferenceServerClient, log: Path
) -> None:
    def ask(number: int) -> float | str:
        value = DEADLY if number == 40 else number / 8
        try:
            answer = client.infer("two", inputs(value)).as_numpy("OUT")
        except InferenceServerException as error:
            return f"{error.status()}: {error.message()}"
        assert answer is not None
        return float(answer[0, 0])

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(ask, range(120)))
    told_to_the_guilty = answers.pop(40)
    assert isinstance(told_to_the_guilty, str)
    assert told_to_the_guilty.startswith("StatusCode.INTERNAL")
    assert "model 'two': two instances died while they computed this" in told_to_the_guilty
    assert answers == [n / 8 for n in range(120) if n != 40]
    until(lambda: told(client, "two") == ("READY", ""))
    written = log.read_text()
    assert written.count("instance_died") == 2
    until(lambda: log.read_text().count("instance_replaced") == 2)


def test_a_model_that_lost_two_of_three_for_good_stays_ready_and_the_index_says_why(
    client: triton.InferenceServerClient,
) -> None:
    with pytest.raises(InferenceServerException, match="two instances died"):
        client.infer("mayfly", inputs(DEADLY))
    until(lambda: "attempts failed" in told(client, "mayfly")[1])
    state, reason = told(client, "mayfly")
    assert state == "READY"
    assert reason.startswith("2 of 3 instances are being replaced: fake: killed by 666.0; ")
    assert reason.endswith("the last so: fake: told to make 3 instances in all")
    assert client.is_model_ready("mayfly")
    assert client.infer("mayfly", inputs(5)).as_numpy("OUT") is not None


def test_a_model_without_any_instance_left_is_not_ready_and_says_why(
    server: ServerProcess,
) -> None:
    with triton.InferenceServerClient(server.address) as client:
        assert client.is_model_ready("last")
        with pytest.raises(InferenceServerException) as failed:
            client.infer("last", inputs(DEADLY))
        assert failed.value.status() == "StatusCode.UNAVAILABLE"
        assert "its only instance is being replaced: fake: killed by 666.0" in str(failed.value)
        state, reason = told(client, "last")
        assert state == "UNAVAILABLE"
        assert reason == (
            "its only instance is being replaced: fake: killed by 666.0; 5 attempts failed, the"
            " last so: fake: told to make 1 instances in all"
        )
        assert not client.is_model_ready("last")
        assert not client.is_server_ready()
        assert client.is_model_ready("two")  # the others are untouched
        with pytest.raises(InferenceServerException, match="retry later") as refused:
            client.infer("last", inputs(1))
        assert refused.value.status() == "StatusCode.UNAVAILABLE"


def test_a_decoupled_request_is_answered_by_the_replacement(
    client: triton.InferenceServerClient,
) -> None:
    answers: queue.Queue[tuple[triton.InferResult | None, Exception | None]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for value in (1, DEADLY, 2):
        client.async_stream_infer("stream", inputs(value))
    told = [answers.get(timeout=10) for _ in range(3)]
    client.stop_stream()
    values = {float(result.as_numpy("OUT")[0, 0]) for result, _ in told if result}  # type: ignore[index]
    errors = [str(error) for _, error in told if error]
    assert values == {1, 2}
    assert len(errors) == 1
    assert "two instances died" in errors[0]


def test_a_lost_sequence_is_told_to_start_again(client: triton.InferenceServerClient) -> None:
    def say(sequence: int, value: float, *, start: bool = False) -> float:
        answer = client.infer(
            "sequence", inputs(value), sequence_id=sequence, sequence_start=start
        ).as_numpy("OUT")
        assert answer is not None
        return float(answer[0, 0])

    assert say(7, 1, start=True) == 1
    assert say(8, 2, start=True) == 2
    for sequence, value in ((7, DEADLY), (8, 3)):
        with pytest.raises(InferenceServerException) as failed:
            say(sequence, value)
        assert failed.value.status() == "StatusCode.UNAVAILABLE"
        assert "start the sequence again with sequence_start" in str(failed.value)
    assert say(8, 4, start=True) == 4
    assert say(7, 5, start=True) == 5
