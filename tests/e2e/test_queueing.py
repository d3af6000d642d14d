"""Priorities, timeouts and a held scheduler, as the peer's own client asks for them."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.harness.repositories import add_model, fake_config
from tests.harness.server import serving
from trivet.transport.options import Transport

TWO_LEVELS = """
    dynamic_batching {
      priority_levels: 2 default_priority_level: 2
      default_queue_policy { default_timeout_microseconds: 0 }
    }
"""
IMPATIENT = """
    dynamic_batching {
      default_queue_policy { default_timeout_microseconds: 60000000 allow_timeout_override: true }
    }
"""
TOKENS = 8  # of a batch, where a budget is set


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, transport: Transport
) -> Iterator[triton.InferenceServerClient]:
    """A server whose models take nothing before four requests wait."""
    repository = tmp_path_factory.mktemp("repository")
    named: dict[str, Any] = {"symbols.IN": "tokens", "symbols.OUT": "tokens"}
    by_length = fake_config(max_batch_tokens=TOKENS, **named)
    one_by_one = fake_config(max_batch_size=1, batching=TWO_LEVELS, delay_us=5_000)
    add_model(repository, "levels", one_by_one)
    add_model(repository, "impatient", fake_config(batching=IMPATIENT))
    add_model(repository, "together", fake_config())
    add_model(repository, "parts", by_length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITONSERVER_DELAY_SCHEDULER", "4")
        with (
            serving(repository, f"--transport={transport}") as server,
            triton.InferenceServerClient(server.address) as made,
        ):
            yield made


def ones(rows: int = 1, length: int = 2) -> list[Any]:
    made = triton.InferInput("IN", [rows, length], "FP32")
    made.set_data_from_numpy(np.arange(rows * length, dtype=np.float32).reshape(rows, length))
    return [made]


Outcomes = queue.SimpleQueue[tuple[str, Any, Any]]  # name, result, error


def ask(
    client: triton.InferenceServerClient, model: str, name: str, outcomes: Outcomes, **more: Any
) -> None:
    client.async_infer(
        model, ones(), lambda result, error: outcomes.put((name, result, error)), **more
    )


def executions(client: triton.InferenceServerClient, model: str) -> int:
    return int(client.get_inference_statistics(model).model_stats[0].execution_count)


def test_a_held_server_computes_what_came_together_in_one_batch(
    client: triton.InferenceServerClient,
) -> None:
    outcomes: Outcomes = queue.SimpleQueue()
    for _ in range(4):
        ask(client, "together", "", outcomes)
    assert [outcomes.get(timeout=20)[2] for _ in range(4)] == [None] * 4
    assert executions(client, "together") == 1


def test_urgent_requests_are_answered_before_the_others(
    client: triton.InferenceServerClient,
) -> None:
    outcomes: Outcomes = queue.SimpleQueue()
    for name, priority in (("later", 2), ("later", 0), ("urgent", 1), ("urgent", 1)):
        ask(client, "levels", name, outcomes, priority=priority)
    names = [outcomes.get(timeout=20)[0] for _ in range(4)]
    assert names == ["urgent", "urgent", "later", "later"]


def test_a_timeout_is_answered_though_nothing_is_computed(
    client: triton.InferenceServerClient,
) -> None:
    with pytest.raises(InferenceServerException, match="Request timeout expired") as caught:
        client.infer("impatient", ones(), timeout=20_000)
    assert caught.value.status() == "StatusCode.UNAVAILABLE"
    assert executions(client, "impatient") == 0


def test_a_large_request_is_computed_in_parts_and_counted_once(
    client: triton.InferenceServerClient,
) -> None:
    result = client.infer("parts", ones(rows=8, length=4))  # four parts: as many as are waited for
    assert (result.as_numpy("OUT") == np.arange(32, dtype=np.float32).reshape(8, 4)).all()
    counted = client.get_inference_statistics("parts").model_stats[0]
    assert (counted.inference_stats.success.count, counted.inference_count) == (1, 8)
    assert counted.execution_count == 4
