"""The peer's own client sees answers come from the cache, and warm-up before the first request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.harness.command import trivet
from tests.harness.repositories import add_model, fake_config, pipeline_config
from tests.harness.server import serving
from trivet.transport.options import Transport

CACHED = "response_cache { enable: true }"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("cached")
    add_model(repository, "cached", fake_config(more=CACHED))
    add_model(repository, "plain")
    add_model(repository, "pipeline", pipeline_config(["cached", "plain"]))
    return repository


@pytest.fixture(scope="module")
def peer(repository: Path, transport: Transport) -> Iterator[triton.InferenceServerClient]:
    with (
        serving(
            repository, "--cache-config=local,size=1048576", f"--transport={transport}"
        ) as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        yield client


def infer(peer: triton.InferenceServerClient, model: str, *values: float) -> Any:
    tensor = triton.InferInput("IN", [1, len(values)], "FP32")
    tensor.set_data_from_numpy(np.array([values], np.float32))
    return peer.infer(model, [tensor], request_id=f"id-{values[0]}")


def counted(peer: triton.InferenceServerClient, model: str) -> dict[str, int]:
    (told,) = peer.get_inference_statistics(model).model_stats
    stats = told.inference_stats
    return {
        "hit": stats.cache_hit.count,
        "miss": stats.cache_miss.count,
        "success": stats.success.count,
        "executions": told.execution_count,
        "inferences": told.inference_count,
    }


def gained(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - count for name, count in before.items() if after[name] != count}


def test_the_second_answer_comes_from_the_cache_and_is_equal(
    peer: triton.InferenceServerClient,
) -> None:
    assert peer.get_model_config("cached").config.response_cache.enable
    before = counted(peer, "cached")
    first = infer(peer, "cached", 1.5, 2.5)
    between = counted(peer, "cached")
    assert gained(before, between) == {"miss": 1, "success": 1, "executions": 1, "inferences": 1}
    second = infer(peer, "cached", 1.5, 2.5)
    assert gained(between, counted(peer, "cached")) == {"hit": 1, "success": 1}
    assert first.get_response() == second.get_response()
    np.testing.assert_array_equal(second.as_numpy("OUT"), np.array([[1.5, 2.5]], np.float32))
    (told,) = peer.get_inference_statistics("cached").model_stats
    assert told.inference_stats.cache_hit.ns > 0
    assert told.inference_stats.cache_miss.ns > 0


def test_another_question_is_not_answered_with_it(peer: triton.InferenceServerClient) -> None:
    infer(peer, "cached", 3.0)
    other = infer(peer, "cached", 4.0)
    assert other.as_numpy("OUT").tolist() == [[4.0]]


def test_a_model_that_does_not_ask_for_it_computes_each(peer: triton.InferenceServerClient) -> None:
    before = counted(peer, "plain")
    for _ in range(2):
        infer(peer, "plain", 5.0)
    assert gained(before, counted(peer, "plain")) == {
        "success": 2,
        "executions": 2,
        "inferences": 2,
    }


def test_a_step_of_a_pipeline_is_answered_from_the_cache(
    peer: triton.InferenceServerClient,
) -> None:
    infer(peer, "cached", 6.0)
    before, plain = counted(peer, "cached"), counted(peer, "plain")
    answer = infer(peer, "pipeline", 6.0)
    assert answer.as_numpy("OUT").tolist() == [[6.0]]
    assert gained(before, counted(peer, "cached")) == {"hit": 1, "success": 1}
    assert gained(plain, counted(peer, "plain"))["executions"] == 1


def test_without_the_flag_it_is_served_uncached_and_the_log_says_so(
    repository: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        serving(repository, log=log) as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        for _ in range(2):
            infer(client, "cached", 1.0)
        told = counted(client, "cached")
    assert (told["hit"], told["miss"], told["executions"]) == (0, 0, 2)
    assert log.read_text().count("response_cache_off") == 1


@pytest.mark.parametrize("flag", ["redis,size=1", "local", "local,size=0", "local,size=1k", "1"])
def test_another_cache_than_there_is_is_refused(repository: Path, flag: str) -> None:
    ended = trivet("serve", "--model-repository", repository, f"--cache-config={flag}")
    assert ended.status == 2
    assert "--cache-config" in ended.err


def test_a_warm_up_that_fails_keeps_the_model_from_being_ready(tmp_path: Path) -> None:
    warm_up = """
        model_warmup { name: "%s" batch_size: 2 inputs { key: "IN" value {
            data_type: TYPE_FP32 dims: 3 input_data_file: "%s" } } }
    """
    for name, value in (("good", 1), ("bad", 666)):
        config = fake_config(more=warm_up % (f"the {name} one", "raw"), poison="666.0")
        folder = add_model(tmp_path, name, config)
        (folder / "warmup").mkdir()
        (folder / "warmup" / "raw").write_bytes(np.full(3, value, np.float32).tobytes())
    with (
        serving(tmp_path, "--exit-on-error=false") as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        assert client.is_model_ready("good")
        assert not client.is_model_ready("bad")
        reasons = {model.name: model.reason for model in client.get_model_repository_index().models}
        assert "model_warmup[0] 'the bad one': failed" in reasons["bad"]
        assert "poisoned by 666" in reasons["bad"]
        (written,) = client.get_model_config("good").config.model_warmup
        assert (written.name, written.inputs["IN"].input_data_file) == ("the good one", "raw")
        with pytest.raises(InferenceServerException):
            infer(client, "bad", 1.0)
        assert infer(client, "good", 1.0).as_numpy("OUT").tolist() == [[1.0]]
