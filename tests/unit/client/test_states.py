"""What the server says of itself and its models, of both clients."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.client.fake_server import FakeServer
from trivet_client import (
    Duration,
    ModelMetadata,
    ModelState,
    ServerMetadata,
    TensorMetadata,
    errors,
)


def test_the_server_is_live_and_ready(client: Any) -> None:
    assert client.server_live() is True
    assert client.server_ready() is True


def test_readiness_is_waited_for(client: Any, server: FakeServer) -> None:
    server.questions_before_ready = 2
    client.wait_ready(timeout_s=10)
    assert server.questions_before_ready == -1


def test_waiting_for_readiness_ends_with_the_address(client: Any, server: FakeServer) -> None:
    server.questions_before_ready = 1_000_000
    with pytest.raises(errors.DeadlineExceeded, match=rf"{server.address} was not ready within"):
        client.wait_ready(timeout_s=0.12)


def test_waiting_for_a_server_that_never_comes_ends(connect: Any) -> None:
    with pytest.raises(errors.DeadlineExceeded, match=r"127.0.0.1:1 was not ready within 0.2 s"):
        connect("127.0.0.1:1").wait_ready(timeout_s=0.2)


@pytest.mark.parametrize(
    ("model", "version", "ready"),
    [("echo", None, True), ("echo", 2, True), ("echo", 9, False), ("missing", None, False)],
)
def test_a_model_is_ready_by_name_and_version(
    client: Any, model: str, version: int | None, ready: bool
) -> None:
    assert client.model_ready(model, version=version) is ready


def test_the_server_names_itself(client: Any) -> None:
    expected = ServerMetadata(name="fake", version="1.2", extensions=("statistics",))
    assert client.server_metadata() == expected


def test_a_model_describes_its_tensors(client: Any) -> None:
    assert client.model_metadata("encoder") == ModelMetadata(
        name="encoder",
        versions=(1, 2),
        platform="fake",
        inputs=(
            TensorMetadata(name="ids", datatype="INT64", shape=(-1, -1)),
            TensorMetadata(name="weight", datatype="FP32", shape=(1,)),
        ),
        outputs=(TensorMetadata(name="OUTPUT", datatype="FP32", shape=(-1, 2)),),
    )


def test_a_configuration_comes_as_values_and_as_text(client: Any) -> None:
    config = client.model_config("m")
    assert (config.name, config.backend, config.max_batch_size) == ("m", "fake", 8)
    assert config.inputs == (TensorMetadata(name="TEXT", datatype="BYTES", shape=(1,)),)
    assert config.outputs == (TensorMetadata(name="EMBEDDING", datatype="FP32", shape=(384,)),)
    assert config.parameters == {"max_batch_tokens": "256"}
    assert "data_type: TYPE_STRING" in config.text


def test_the_repository_lists_ready_and_broken_models(client: Any) -> None:
    ready = ModelState(name="echo", version=2, state="READY", reason="")
    broken = ModelState(name="broken", version=None, state="UNAVAILABLE", reason="no artifact")
    assert client.repository_index() == (ready, broken)
    assert client.repository_index(ready=True) == (ready,)


def test_statistics_count_rows_batches_and_times(client: Any) -> None:
    (model,) = client.statistics("m")
    assert (model.name, model.version, model.last_inference_ms) == ("m", 2, 5)
    assert (model.inference_count, model.execution_count) == (10, 4)
    assert model.success == Duration(count=9, ns=0)
    assert model.queue == Duration(count=0, ns=77)
    (batch,) = model.batches
    assert (batch.batch_size, batch.compute_infer.count) == (4, 2)


def test_costs_count_tokens_and_padding(client: Any) -> None:
    (first,) = client.model_costs("m")
    (then,) = client.model_costs("m", version=5)
    assert (first.name, first.version, then.version) == ("m", 2, 5)
    assert first.tokens == 3 * first.padding_tokens > 0
    assert then.tokens - first.tokens == 30


def test_a_server_that_is_no_trivet_tells_no_costs(client: Any) -> None:
    with pytest.raises(errors.Unimplemented):
        client.model_costs("silent")
