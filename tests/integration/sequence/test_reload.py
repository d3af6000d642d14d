"""Sequences of the real tritonclient that are open while their model is loaded anew."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness.accumulator import add_accumulator, write_version
from tests.harness.server import serving
from tests.harness.transports import serving_on
from trivet.transport.options import Transport

ROWS = 4
STRATEGY = "oldest { max_candidate_sequences: 16 }"
PATIENCE_S = 30.0


@pytest.fixture(params=Transport)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    if request.param is Transport.H2CORN:
        pytest.importorskip("h2corn")
    with serving_on(request.param) as chosen:
        yield chosen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the model "sum"; the first answer of a sequence carries the mark of its load."""
    add_accumulator(tmp_path / "repository" / "sum", rows=ROWS, strategy=STRATEGY, mark=0.5)
    return tmp_path / "repository" / "sum"


@pytest.fixture
def client(transport: Transport, folder: Path) -> Iterator[triton.InferenceServerClient]:
    flags = ["--model-control-mode=explicit", "--load-model=*"]
    with (
        serving(folder.parent, *flags) as server,
        triton.InferenceServerClient(server.address) as connected,
    ):
        yield connected


def inputs(x: float) -> list[triton.InferInput]:
    tensor = triton.InferInput("X", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.full((1, 1), x, np.float32))
    return [tensor]


def flagged(sequence: int, flags: str) -> dict[str, object]:
    """flags: S starts the sequence, E ends it."""
    return {
        "sequence_id": sequence,
        "sequence_start": "S" in flags,
        "sequence_end": "E" in flags,
    }


class Stream:
    """One stream of the client."""

    def __init__(self, client: triton.InferenceServerClient) -> None:
        self._client = client
        self._answers: queue.Queue[tuple[triton.InferResult, Exception | None]] = queue.Queue()
        client.start_stream(callback=lambda result, error: self._answers.put((result, error)))

    def say(self, sequence: int, x: float, flags: str = "") -> tuple[str, float]:
        """The version that answered, and its sum."""
        self._client.async_stream_infer("sum", inputs(x), **flagged(sequence, flags))
        result, error = self._answers.get(timeout=PATIENCE_S)
        assert error is None, error
        return told(result)


def say(
    client: triton.InferenceServerClient, sequence: int, x: float, flags: str = ""
) -> tuple[str, float]:
    return told(client.infer("sum", inputs(x), **flagged(sequence, flags)))


def told(result: triton.InferResult) -> tuple[str, float]:
    return result.get_response().model_version, result.as_numpy("Y").item()


def index(client: triton.InferenceServerClient) -> dict[str, str]:
    models = client.get_model_repository_index().models
    return {model.version: f"{model.state} {model.reason}".strip() for model in models}


def until_index(client: triton.InferenceServerClient, expected: dict[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while index(client) != expected:
        assert time.monotonic() < deadline, index(client)
        time.sleep(0.02)


def test_a_stream_goes_on_with_its_sequences_through_a_reload_and_a_newer_version(
    client: triton.InferenceServerClient, folder: Path
) -> None:
    stream = Stream(client)
    assert stream.say(1, 1, "S") == ("1", 101.5)
    assert say(client, 2, 2, "S") == ("1", 102.5)

    write_version(folder / "1", rows=ROWS, mark=0.25)
    client.load_model("sum")
    assert stream.say(1, 10) == ("1", 111)
    assert say(client, 2, 10) == ("1", 112)
    assert stream.say(3, 3, "S") == ("1", 103.25), "it began on the new load"

    write_version(folder / "2", rows=ROWS, mark=0.125)
    client.load_model("sum")
    assert stream.say(4, 4, "S") == ("2", 104.125)
    for sequence, total in ((1, 211), (2, 212), (3, 203)):
        assert stream.say(sequence, 100) == ("1", total)
    assert stream.say(4, 100) == ("2", 204)
    assert index(client) == {"1": "UNLOADING", "2": "READY"}

    assert stream.say(1, 1000, "E") == ("1", 1211)
    assert say(client, 2, 1000, "E") == ("1", 1212)
    assert stream.say(3, 0, "S") == ("2", 100.125), "begun anew, it leaves the load before"
    until_index(client, {"1": "UNAVAILABLE unloaded", "2": "READY"})
    client.stop_stream()


def test_an_unload_waits_for_no_sequence(
    client: triton.InferenceServerClient, folder: Path
) -> None:
    assert say(client, 1, 1, "S") == ("1", 101.5)
    write_version(folder / "1", rows=ROWS, mark=0.25)
    client.load_model("sum")
    assert say(client, 2, 2, "S") == ("1", 102.25)
    client.unload_model("sum")
    assert index(client) == {"1": "UNAVAILABLE unloaded"}
    for sequence in (1, 2):
        with pytest.raises(triton.InferenceServerException, match="unloaded") as refused:
            say(client, sequence, 1)
        assert refused.value.status() == "StatusCode.NOT_FOUND"


def test_no_sum_is_lost_while_the_model_is_loaded_again_and_again(
    client: triton.InferenceServerClient, folder: Path
) -> None:
    """Callers have one sequence after the other, until every load has begun some."""
    began: list[float] = []
    over = threading.Event()

    def converse(caller: int) -> list[list[float]]:
        heard: list[list[float]] = []
        while not over.is_set():
            number = 1000 * (caller + 1) + len(heard)
            began.append(say(client, number, 1, "S")[1])
            heard.append([say(client, number, 1)[1] for _ in range(19)])
            say(client, number, 1, "E")
        return heard

    def until_begun(total: float) -> None:
        count, deadline = len(began), time.monotonic() + PATIENCE_S
        while total not in began[count:]:
            assert time.monotonic() < deadline, began[count:]
            time.sleep(0.005)

    with ThreadPoolExecutor(4) as threads:
        try:
            talks = [threads.submit(converse, caller) for caller in range(4)]
            until_begun(101.5)
            for turn in range(6):
                mark = (0.25, 0.5)[turn % 2]
                write_version(folder / "1", rows=ROWS, mark=mark)
                client.load_model("sum")
                until_begun(101 + mark)
        finally:
            over.set()
    for talk in talks:
        assert all(sums == [101.0 + step for step in range(1, 20)] for sums in talk.result())
