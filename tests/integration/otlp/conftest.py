"""A collector, a repository, and every test on every transport."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.collector import Collector, collecting
from tests.harness.repositories import add_model, fake_config, pipeline_config
from tests.harness.transports import serving_on
from trivet.transport.options import Transport


@pytest.fixture(autouse=True, params=Transport)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Spans and metrics are the same on every transport."""
    with serving_on(request.param) as chosen:
        yield chosen


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's own environment says of OpenTelemetry is no part of a test."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that echo: alone, two at a time, many times, two that fail, and a pipeline."""
    repository = tmp_path_factory.mktemp("traced")
    add_model(repository, "echo")
    pairs = "dynamic_batching { max_queue_delay_microseconds: 60000000 preferred_batch_size: 2 }"
    add_model(repository, "pairs", fake_config(batching=pairs))
    waiting = "default_queue_policy { default_timeout_microseconds: 10000 }"
    impatient = fake_config(batching=pairs.replace("}", f"{waiting} }}"))
    add_model(repository, "impatient", impatient)
    many = "model_transaction_policy { decoupled: true }"
    add_model(repository, "many", fake_config(batching="", more=many))
    add_model(repository, "breaks", fake_config(batching="", more=many, poison="666.0"))
    add_model(repository, "picky", fake_config(poison="666.0"))
    add_model(repository, "both", pipeline_config(["echo", "picky"]))
    return repository
