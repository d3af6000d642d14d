"""The rate limiter under the real tritonclient: models that share a resource run in turn."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from trivet.transport.options import Transport

DELAY_US = 20_000


def limited(*resources: str, priority: int = 0) -> str:
    written = " ".join(f"resources {{ {resource} }}" for resource in resources)
    return f"instance_group {{ rate_limiter {{ {written} priority: {priority} }} }}"


def write(repository: Path) -> None:
    """Two models that cannot run at the same time."""
    one, two = 'name: "R1" count: 2', 'name: "R2" count: 1 global: true'
    more = limited(one, two)
    add_model(repository, "a", fake_config(more=more, delay_us=DELAY_US, batching=""))
    more = limited(one, priority=2)
    add_model(repository, "b", fake_config(more=more, delay_us=DELAY_US, batching=""))


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, transport: Transport
) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("repository")
    write(repository)
    limits = ("--rate-limit=execution_count", "--rate-limit-resource=R1:3")
    log = tmp_path_factory.mktemp("log") / "stderr.log"
    with serving(repository, *limits, f"--transport={transport}", log=log) as process:
        yield process


def seconds(server: ServerProcess, models: Sequence[str], requests: int) -> float:
    """How long so many requests to each take, all asked at once."""
    with triton.InferenceServerClient(server.address) as client:

        def ask(model: str) -> None:
            given = triton.InferInput("IN", [1, 2], "FP32")
            given.set_data_from_numpy(np.ones((1, 2), np.float32))
            answer = client.infer(model, [given]).as_numpy("OUT")
            assert answer is not None

        began = time.monotonic()
        with ThreadPoolExecutor(len(models) * requests) as threads:
            list(threads.map(ask, [*models] * requests))
        return time.monotonic() - began


def test_models_that_share_a_resource_run_one_after_the_other(server: ServerProcess) -> None:
    assert seconds(server, ["a", "b"], 8) >= 16 * DELAY_US / 1e6


def test_the_config_tells_what_instances_need(server: ServerProcess) -> None:
    with triton.InferenceServerClient(server.address) as client:
        config = client.get_model_config("b", as_json=True)["config"]
    (group,) = config["instance_group"]
    assert group["rate_limiter"] == {"resources": [{"name": "R1", "count": 2}], "priority": 2}


def started(repository: Path, *flags: str) -> str:
    """What a server says that does not start."""
    command = [sys.executable, "-m", "trivet", "serve", "--model-repository", str(repository)]
    told = subprocess.run(
        [*command, "--grpc-port", "0", "--allow-metrics=false", *flags],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert told.returncode
    return told.stderr


def test_what_can_never_run_is_refused_at_the_start(tmp_path: Path) -> None:
    write(tmp_path)
    told = started(tmp_path, "--rate-limit", "execution_count", "--rate-limit-resource", "R1:1")
    for model in ("a", "b"):
        assert (
            f"{model}/config.pbtxt: instance_group[0].rate_limiter.resources[0].count: is 2, and"
            " the server has 1 of 'R1'; lower it, or start the server with"
            " --rate-limit-resource=R1:2"
        ) in told


def test_a_device_there_is_not_is_refused_at_the_start(tmp_path: Path) -> None:
    write(tmp_path)
    told = started(tmp_path, "--rate-limit=execution_count", "--rate-limit-resource=R1:4:3")
    assert "--rate-limit-resource=R1:4:3: there is no device 3; name one of 0" in told
