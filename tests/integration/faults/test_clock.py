"""A wall clock that jumps: nothing is timed by it, and what it stamps is only told."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

import trivet
import trivet_backends
from tests.harness.managed import Bed
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from tests.harness.transports import serving_on
from trivet.clock import SystemClock
from trivet.frontend.access_tokens import CHECK_NS, TokenFile
from trivet.repository.options import ControlMode, ControlOptions
from trivet.repository.watcher import Watcher
from trivet.testing.clock import ManualClock
from trivet.transport.options import Transport

YEARS_S = 10 * 365 * 86_400

# Each look at the wall clock of the server's process is hours before or behind the last.
JUMPING = """
import itertools, time
real, offsets = time.time_ns, itertools.cycle((0, 7200, -7200, 86400, -86400))
def jumping_ns():
    return real() + next(offsets) * 1_000_000_000
time.time_ns, time.time = jumping_ns, lambda: jumping_ns() / 1e9
"""
# What a time of the day is told by: a line of the log or of statistics, a span, a figure.
TELLING = {
    "telemetry/logs.py",
    "telemetry/statistics.py",
    "telemetry/recent.py",
    "telemetry/otel/spans.py",
    "telemetry/otel/figures.py",
}
WALL = {"time", "time_ns", "gmtime", "localtime", "now", "utcnow", "today"}


def test_the_wall_clock_is_read_only_where_a_time_of_day_is_told() -> None:
    found = set()
    for package in (trivet, trivet_backends):
        assert package.__file__
        root = Path(package.__file__).parent
        for path in root.rglob("*.py"):
            name = path.relative_to(root).as_posix()
            if not name.startswith("workshop/") and _reads_wall_clock(path):
                found.add(name)
    assert found <= TELLING


def _reads_wall_clock(path: Path) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in WALL
        and isinstance(node.value, ast.Name)
        and node.value.id in ("time", "datetime", "date")
        for node in ast.walk(ast.parse(path.read_text()))
    )


async def test_the_servers_clock_goes_on_while_the_wall_clock_jumps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    clock = SystemClock()
    began_ns = clock.now_ns()
    await clock.sleep_until(began_ns + 2_000_000)
    assert clock.now_ns() >= began_ns + 2_000_000


@pytest.fixture(params=list(Transport))
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServerProcess]:
    """A server whose wall clock jumps, with a model that rejects after 50 ms of waiting."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(JUMPING)
    folders = [str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
    rejecting = """dynamic_batching { max_queue_delay_microseconds: 1000
        default_queue_policy { default_timeout_microseconds: 50000 } }"""
    add_model(tmp_path / "r", "quick", fake_config(batching=rejecting))
    slow = fake_config(batching=rejecting, max_batch_size=1, delay_us=1_000_000)
    add_model(tmp_path / "r", "slow", slow)
    with serving_on(request.param), serving(tmp_path / "r") as process:
        yield process


def inputs() -> list[triton.InferInput]:
    given = triton.InferInput("IN", [1, 2], "FP32")
    given.set_data_from_numpy(np.ones((1, 2), np.float32))
    return [given]


def test_deadlines_delays_and_timeouts_are_as_long_as_ever(server: ServerProcess) -> None:
    with triton.InferenceServerClient(server.address) as client:
        stamps = []
        for _ in range(20):  # neither the delay nor the deadline is over at once, or never
            assert client.infer("quick", inputs(), client_timeout=20) is not None
            statistics = client.get_inference_statistics("quick")
            stamps.append(statistics.model_stats[0].last_inference)
        assert stamps != sorted(stamps)  # it does jump
        began = time.monotonic()  # the next two wait behind the first
        first = client.async_infer("slow", inputs(), callback=lambda result, error: None)
        with pytest.raises(InferenceServerException, match="timeout"):
            client.infer("slow", inputs(), client_timeout=20)
        with pytest.raises(InferenceServerException, match="Deadline"):
            client.infer("slow", inputs(), client_timeout=0.01)
        assert time.monotonic() - began < 15
        first.cancel()


async def test_files_from_the_future_and_the_past_are_changes_like_any(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "echo")
    bed = Bed(tmp_path)
    await bed.follow()
    poll = ControlOptions(mode=ControlMode.POLL, poll_s=10, settle_s=2)
    watcher = Watcher(bed.manager, bed.clock, poll, await bed.manager.look())
    for version, stamp_s in ((2, time.time() + YEARS_S), (3, time.time() - YEARS_S), (4, 0.0)):
        file = folder / str(version) / "weights"
        file.parent.mkdir()
        file.write_bytes(b"x" * version)
        for path in (file, file.parent):
            os.utime(path, (stamp_s, stamp_s))
        for _ in range(2):  # seen, and still two seconds later
            await watcher.look()
            await bed.clock.advance(us=2_000_000)
        await watcher.look()
        assert await bed.echo("echo") == version
    await bed.end()


async def test_a_token_file_that_is_older_than_the_last_is_read_all_the_same(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "tokens", ManualClock()
    path.write_text("infer a-token-of-some-length\n")
    os.utime(path, (time.time() + YEARS_S,) * 2)
    tokens = TokenFile(path, clock)
    path.write_text("infer another-one-of-length\n")
    os.utime(path, (0, 0))
    assert tokens.roles("another-one-of-length") is None
    await clock.advance(us=CHECK_NS // 1_000)
    assert tokens.roles("another-one-of-length")
