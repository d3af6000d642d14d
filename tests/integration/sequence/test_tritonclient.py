"""Sequences of the real tritonclient against a server process, over an ONNX graph that adds up."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness.accumulator import add_accumulator
from tests.harness.server import serving
from trivet.transport.options import Transport

MODELS: dict[str, dict[str, Any]] = {
    "direct": {"rows": 3, "strategy": "direct { }", "id_type": "TYPE_UINT64"},
    "oldest": {
        "rows": 4,
        "strategy": "oldest { max_candidate_sequences: 5 }",
        "id_type": "TYPE_INT64",
    },
    "alone": {"rows": 0, "strategy": "", "id_type": "TYPE_INT32"},
    "texts": {
        "rows": 2,
        "strategy": "oldest { max_candidate_sequences: 5 }",
        "id_type": "TYPE_STRING",
    },
}


def write(repository: Path) -> None:
    for name, told in MODELS.items():
        add_accumulator(repository / name, **told)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, transport: Transport) -> Iterator[str]:
    repository = tmp_path_factory.mktemp("sequences")
    write(repository)
    with serving(repository, f"--transport={transport}") as server:
        yield server.address


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as connected:
        yield connected


def inputs(model: str, x: float) -> list[triton.InferInput]:
    tensor = triton.InferInput("X", [1, 1] if MODELS[model]["rows"] else [1], "FP32")
    tensor.set_data_from_numpy(np.full(tensor.shape(), x, np.float32))
    return [tensor]


def number_of(model: str, sequence: int) -> int | str:
    return f"sequence {sequence}" if model == "texts" else sequence


def expected(sequence: int, steps: int) -> list[float]:
    """Sums of sequence * (1, 2, ...), from 100 on; the first answer carries the mark of START."""
    sums = [100.0 + sequence * step * (step + 1) / 2 for step in range(1, steps + 1)]
    return [sums[0] + 0.5, *sums[1:]]


@pytest.mark.parametrize("model", MODELS)
def test_interleaved_unary_sequences_get_each_their_own_sums(
    client: triton.InferenceServerClient, model: str
) -> None:
    """More sequences at a time than there are places."""
    steps = 6

    def converse(sequence: int) -> list[tuple[float, object]]:
        answers = []
        for step in range(1, steps + 1):
            answer = client.infer(
                model,
                inputs(model, sequence * step),
                sequence_id=number_of(model, sequence),
                sequence_start=step == 1,
                sequence_end=step == steps,
            )
            answers.append((answer.as_numpy("Y").item(), answer.as_numpy("ID").item()))
        return answers

    with ThreadPoolExecutor(20) as threads:
        for sequence, answers in enumerate(threads.map(converse, range(1, 21)), start=1):
            number = number_of(model, sequence)
            sent = number.encode() if isinstance(number, str) else number
            assert answers == [(total, sent) for total in expected(sequence, steps)]


@pytest.mark.parametrize("model", MODELS)
def test_sequences_interleaved_on_one_stream(
    client: triton.InferenceServerClient, model: str
) -> None:
    """All is sent before anything is read; a stream's requests keep their order."""
    answers: queue.Queue[tuple[triton.InferResult, Exception | None]] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    sequences, steps = 6, 5
    # Where a sequence has the instance to itself, the others must not stand before it in line.
    order = [(n, s) for s in range(1, steps + 1) for n in range(1, sequences + 1)]
    for sequence, step in order:
        client.async_stream_infer(
            model,
            inputs(model, sequence * step),
            request_id=f"{sequence} {step}",
            sequence_id=number_of(model, sequence),
            sequence_start=step == 1,
            sequence_end=step == steps,
        )
    told: dict[str, float] = {}
    for _ in order:
        result, error = answers.get(timeout=30)
        assert not error
        told[result.get_response().id] = result.as_numpy("Y").item()
    client.stop_stream()
    for sequence in range(1, sequences + 1):
        sums = [told[f"{sequence} {step}"] for step in range(1, steps + 1)]
        assert sums == expected(sequence, steps)


def refusal(client: triton.InferenceServerClient, model: str, **flags: object) -> tuple[str, str]:
    with pytest.raises(triton.InferenceServerException) as caught:
        client.infer(model, inputs(model, 1), **flags)
    return caught.value.status(), caught.value.message()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({}, "must specify a non-zero or non-empty correlation ID"),
        (
            {"sequence_id": 99},
            "inference request for sequence 99 to model 'direct' must specify the START flag on the"
            " first request of the sequence",
        ),
        (
            {"sequence_id": "text", "sequence_start": True},
            "sequence batching control 'CORRID' data-type is 'STRING', but model 'direct' expects"
            " 'UINT64'",
        ),
    ],
)
def test_errors_have_tritons_words(
    client: triton.InferenceServerClient, flags: dict[str, object], words: str
) -> None:
    status, message = refusal(client, "direct", **flags)
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert words in message


def test_an_error_in_a_stream_leaves_the_sequence_under_way(
    client: triton.InferenceServerClient,
) -> None:
    answers: queue.Queue[tuple[triton.InferResult, Exception | None]] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    ask = partial(client.async_stream_infer, "oldest", inputs("oldest", 1))
    ask(sequence_id=71, sequence_start=True)
    ask(sequence_id=72)
    ask(sequence_id=71, sequence_end=True)
    first, wrong, last = [answers.get(timeout=30) for _ in range(3)]
    client.stop_stream()
    assert first[0].as_numpy("Y").item() == 101.5
    assert "must specify the START flag" in str(wrong[1])
    assert last[0].as_numpy("Y").item() == 102


def test_what_the_scheduler_fills_is_in_the_config_but_not_in_the_metadata(
    client: triton.InferenceServerClient,
) -> None:
    metadata = client.get_model_metadata("direct")
    assert [(tensor.name, list(tensor.shape)) for tensor in metadata.inputs] == [("X", [-1, 1])]
    assert [tensor.name for tensor in metadata.outputs] == ["Y", "ID"]
    told = client.get_model_config("direct").config
    assert [tensor.name for tensor in told.input] == ["X"]
    assert [control.name for control in told.sequence_batching.control_input] == ["START", "CORRID"]
    assert told.sequence_batching.state[0].initial_state[0].data_file == "hundred"
    assert told.sequence_batching.WhichOneof("strategy_choice") == "direct"
    status, message = refusal_with_control(client)
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert "unexpected inference input 'START'" in message


def refusal_with_control(client: triton.InferenceServerClient) -> tuple[str, str]:
    control = triton.InferInput("START", [1, 1], "FP32")
    control.set_data_from_numpy(np.ones((1, 1), np.float32))
    with pytest.raises(triton.InferenceServerException) as caught:
        client.infer("direct", [*inputs("direct", 1), control], sequence_id=5, sequence_start=True)
    return caught.value.status(), caught.value.message()
