"""Ragged batching and optional inputs: the real server, the real tritonclient, real graphs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness import artifacts
from tests.harness.server import serving
from trivet.transport.options import Transport

CONFIG = """
    backend: "onnxruntime"
    max_batch_size: 4
    input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
    output { name: "sum" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }
    output { name: "twice" data_type: TYPE_FP32 dims: [ -1 ] }
    batch_input {
        kind: BATCH_ACCUMULATED_ELEMENT_COUNT
        target_name: "ends" data_type: TYPE_INT32 source_input: "x"
    }
    batch_input {
        kind: BATCH_ELEMENT_COUNT target_name: "counts" data_type: TYPE_INT32 source_input: "x"
    }
    batch_output {
        target_name: "twice" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "x"
    }
"""
OPTIONAL = """
    backend: "onnxruntime"
    max_batch_size: 4
    dynamic_batching { }
    input { name: "a" data_type: TYPE_FP32 dims: [ 2 ] }
    input { name: "b" data_type: TYPE_FP32 dims: [ 2 ] optional: true }
"""
# Nothing leaves before four rows are there: an answer proves that four requests were one batch.
BATCHING = "dynamic_batching { max_queue_delay_microseconds: 600000000 }"
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, transport: Transport
) -> Iterator[triton.InferenceServerClient]:
    repository = tmp_path_factory.mktemp("ragged")
    for name, config in (("alone", CONFIG), ("together", CONFIG + BATCHING)):
        artifacts.write_ragged_graph(_add_model(repository / name, config))
    artifacts.write_optional_graph(_add_model(repository / "optional", OPTIONAL))
    log = tmp_path_factory.mktemp("server") / "stderr.log"
    with (
        serving(repository, f"--transport={transport}", log=log) as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        yield client


def _add_model(folder: Path, config: str) -> Path:
    """Returns where its graph belongs."""
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config)
    return folder / "1" / "model.onnx"


def _input(numbers: list[int]) -> triton.InferInput:
    tensor = triton.InferInput("x", [1, len(numbers)], "FP32")
    tensor.set_data_from_numpy(np.array([numbers], np.float32))
    return tensor


def test_requests_of_four_lengths_are_one_batch_and_get_what_they_get_alone(
    client: triton.InferenceServerClient,
) -> None:
    requests = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [-1, 1]]
    replies: list[Future[triton.InferResult]] = []
    for numbers in requests:
        reply: Future[triton.InferResult] = Future()

        def done(
            result: triton.InferResult | None,
            error: Exception | None,
            reply: Future[triton.InferResult] = reply,
        ) -> None:
            reply.set_exception(error) if error else reply.set_result(result)

        client.async_infer("together", [_input(numbers)], done)
        replies.append(reply)
    for numbers, future in zip(requests, replies, strict=True):
        together = future.result(TIMEOUT_S)
        alone = client.infer("alone", [_input(numbers)])
        for result in (alone, together):
            assert result.as_numpy("sum").tolist() == [[sum(numbers)]]
            assert result.as_numpy("twice").tolist() == [[2 * number for number in numbers]]
    (statistics,) = client.get_inference_statistics("together").model_stats
    assert (statistics.inference_count, statistics.execution_count) == (4, 1)


def test_clients_are_shown_and_asked_for_their_own_inputs_only(
    client: triton.InferenceServerClient,
) -> None:
    metadata = client.get_model_metadata("alone")
    assert [(told.name, list(told.shape)) for told in metadata.inputs] == [("x", [-1, -1])]
    assert [(told.name, list(told.shape)) for told in metadata.outputs] == [
        ("sum", [-1, 1]),
        ("twice", [-1, -1]),
    ]
    config = client.get_model_config("alone").config
    assert config.input[0].allow_ragged_batch
    assert [told.target_name[0] for told in config.batch_input] == ["ends", "counts"]
    assert config.batch_output[0].source_input == ["x"]
    ends = triton.InferInput("ends", [1], "INT32")
    ends.set_data_from_numpy(np.array([3], np.int32))
    with pytest.raises(triton.InferenceServerException, match="unexpected inference input 'ends'"):
        client.infer("alone", [_input([1, 2, 3]), ends])


def test_a_request_that_cannot_be_told_apart_is_refused_and_the_next_answered(
    client: triton.InferenceServerClient,
) -> None:
    two_rows = triton.InferInput("x", [2, 1], "FP32")
    two_rows.set_data_from_numpy(np.array([[1], [2]], np.float32))
    with pytest.raises(triton.InferenceServerException, match="send one row in each"):
        client.infer("alone", [two_rows])
    assert client.infer("alone", [_input([7, 8])]).as_numpy("sum").tolist() == [[15]]


def test_an_optional_input_may_be_left_out_and_a_required_one_may_not(
    client: triton.InferenceServerClient,
) -> None:
    a, b = triton.InferInput("a", [1, 2], "FP32"), triton.InferInput("b", [1, 2], "FP32")
    a.set_data_from_numpy(np.array([[1, 2]], np.float32))
    b.set_data_from_numpy(np.array([[3, 4]], np.float32))
    assert client.infer("optional", [a]).as_numpy("sum").tolist() == [[11, 22]]
    assert client.infer("optional", [b, a]).as_numpy("sum").tolist() == [[4, 6]]
    with pytest.raises(triton.InferenceServerException, match="input 'a' is missing"):
        client.infer("optional", [b])
    shown = client.get_model_config("optional").config.input
    assert [(told.name, told.optional) for told in shown] == [("a", False), ("b", True)]
