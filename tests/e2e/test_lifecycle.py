"""From start to stop: a server is ready when it is warm, and what it accepted it answers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
import numpy as np
import pytest

from tests.harness.repositories import add_model, fake_config, pipeline_config
from tests.harness.server import ServerProcess, serving
from tests.harness.transports import chosen, serving_on
from trivet.transport.options import Transport
from trivet_client import AsyncClient, Client, Failure, InferRequest, InferResult
from trivet_client.errors import Cancelled, NotFound, TrivetError, Unavailable
from trivet_protos.generated import health_pb2
from trivet_protos.generated.health_pb2_grpc import HealthAsyncStub, HealthStub

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

SLOW = 150  # elements; as many milliseconds in the model "slow"
ENDLESS = 600_000  # ten minutes
UNARY, STREAMED = 8, 4
CALLERS = 32


@pytest.fixture(autouse=True, params=Transport)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Every transport keeps the same promise."""
    with serving_on(request.param) as chosen:
        yield chosen


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline "late": first "seen", which counts what was accepted, then "slow", one by one."""
    repository = tmp_path_factory.mktemp("late")
    add_model(repository, "seen")
    add_model(repository, "slow", fake_config(batching="", delay_us_per_token=1000))
    add_model(repository, "late", pipeline_config(["seen", "slow"]))
    return repository


@dataclass(frozen=True)
class Stopping:
    """A server and the log in which it says that it stops."""

    server: ServerProcess
    log: Path

    async def signal(self, number: signal.Signals) -> None:
        """Send the signal and wait until the server has taken it."""
        self.server.process.send_signal(number)
        await until(lambda: "trivet: stopping" in self.log.read_text())

    async def ended(self) -> int:
        """The exit status."""
        return await asyncio.to_thread(self.server.process.wait, 30)


@pytest.fixture
def stopping(repository: Path, tmp_path: Path) -> Iterator[Stopping]:
    log = tmp_path / "stderr.log"
    with serving(repository, "--exit-timeout-secs", "20", log=log) as server:
        yield Stopping(server, log)


async def until(true: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something is so; fails after 20 seconds."""
    async with asyncio.timeout(20):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


def numbers(seed: int, size: int = SLOW) -> np.ndarray:
    """One row, unlike that of any other seed."""
    return np.full((1, size), seed, np.float32)


async def accepted(client: AsyncClient, count: int) -> None:
    """Wait until so many requests have passed the first step, and so wait for the second."""

    async def passed() -> bool:
        (statistics,) = await client.statistics("seen")
        return statistics.inference_count >= count

    await until(passed)


async def asked(client: AsyncClient, seed: int) -> np.ndarray:
    return (await client.infer("late", {"IN": numbers(seed)})).outputs["OUT"]


async def streamed(client: AsyncClient, seeds: range) -> list[InferResult]:
    """A stream that stays open after its last request, as a chat would; returns the answers.

    Ends with the server's Unavailable, which says that it drains.
    """
    never = asyncio.Event()

    async def requests() -> AsyncIterator[InferRequest]:
        for seed in seeds:
            yield InferRequest(model="late", inputs={"IN": numbers(seed)})
        await never.wait()

    answers: list[InferResult] = []
    with pytest.raises(Unavailable, match="draining"):
        async for _, answer in client.infer_stream(requests()):
            assert not isinstance(answer, Failure), answer
            answers.append(answer)
    return answers


async def refused(client: AsyncClient) -> None:
    """Ask until told that the server takes nothing any more; what comes before is answered.

    Only what is sent while the news is on its way to the caller is cancelled, by grpc itself.
    """

    async def unavailable() -> bool:
        try:
            answer = await client.infer("seen", {"IN": numbers(99)}, timeout_s=20)
        except Unavailable:
            return True
        except Cancelled:
            return False
        assert (answer.outputs["OUT"] == numbers(99)).all()
        return False

    await until(unavailable)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_was_accepted_is_answered_and_the_rest_refused(
    stopping: Stopping, number: signal.Signals
) -> None:
    async with AsyncClient(stopping.server.address) as client:
        unary = [asyncio.create_task(asked(client, seed)) for seed in range(UNARY)]
        stream = asyncio.create_task(streamed(client, range(UNARY, UNARY + STREAMED)))
        await accepted(client, UNARY + STREAMED)
        await stopping.signal(number)
        await refused(client)
        async with AsyncClient(stopping.server.address) as newcomer:
            await refused(newcomer)
        assert not all(task.done() for task in unary), "too fast to show anything"
        for seed, answer in enumerate(await asyncio.gather(*unary)):
            assert (answer == numbers(seed)).all()
        for seed, result in enumerate(await stream, start=UNARY):
            assert (result.outputs["OUT"] == numbers(seed)).all()
            assert result.outputs["OUT"].shape == (1, SLOW)
        assert len(stream.result()) == STREAMED
    assert await stopping.ended() == 0
    log = stopping.log.read_text()
    assert "ERROR" not in log
    assert "Traceback" not in log


async def test_no_caller_loses_a_request_to_the_signal(stopping: Stopping) -> None:
    """Callers who ask one request after the other: each is answered until there is no server."""
    enough = asyncio.Event()
    answers = 0

    async def ask_on(caller: int) -> None:
        nonlocal answers
        async with AsyncClient(stopping.server.address) as client:
            array = numbers(caller, size=caller + 1)
            with pytest.raises(Unavailable, match="no server answers"):
                while True:
                    result = await client.infer("seen", {"IN": array}, timeout_s=20)
                    np.testing.assert_array_equal(result.outputs["OUT"], array)
                    answers += 1
                    if answers == 20 * CALLERS:
                        enough.set()

    async with asyncio.TaskGroup() as callers:
        for caller in range(CALLERS):
            callers.create_task(ask_on(caller))
        await enough.wait()
        await stopping.signal(signal.SIGTERM)
    assert await stopping.ended() == 0


async def test_watchers_are_told_that_the_server_stops(stopping: Stopping) -> None:
    async with grpc.aio.insecure_channel(stopping.server.address) as channel:
        watches = [
            HealthAsyncStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))
            for service in ("", "late")
        ]
        for watch in watches:
            assert (await anext(aiter(watch))).status == SERVING
        async with AsyncClient(stopping.server.address) as client:
            busy = asyncio.create_task(asked(client, 1))
            await accepted(client, 1)
            await stopping.signal(signal.SIGTERM)
            for watch in watches:
                assert [told.status async for told in watch] == [NOT_SERVING]  # and it ends
            await busy
    assert await stopping.ended() == 0


async def test_a_second_signal_ends_it_at_once(stopping: Stopping) -> None:
    async with AsyncClient(stopping.server.address) as client:
        endless = asyncio.create_task(client.infer("late", {"IN": numbers(1, ENDLESS)}))
        await accepted(client, 1)
        await stopping.signal(signal.SIGTERM)
        assert stopping.server.process.poll() is None
        stopping.server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await stopping.ended() == 1
        with pytest.raises(TrivetError):
            await endless


async def test_with_a_delay_it_serves_on_while_balancers_are_told(
    repository: Path, tmp_path: Path
) -> None:
    """For as long as the delay lasts, which here is until the second signal."""
    log = tmp_path / "stderr.log"
    flags = ("--shutdown-delay-secs", "600", "--metrics-port", "0")
    with serving(repository, *flags, log=log) as server:
        ready = str(server.metrics).replace("/metrics", "/v2/health/ready")
        assert (await asyncio.to_thread(urlopen, ready, timeout=20)).status == 200
        async with (
            grpc.aio.insecure_channel(server.address) as channel,
            AsyncClient(server.address) as client,
        ):
            watch = HealthAsyncStub(channel).Watch(health_pb2.HealthCheckRequest())
            told = aiter(watch)
            assert (await anext(told)).status == SERVING
            sending: asyncio.Queue[InferRequest] = asyncio.Queue()

            async def requests() -> AsyncIterator[InferRequest]:
                while True:
                    yield await sending.get()

            stream = aiter(client.infer_stream(requests()))
            for seed, before in ((1, True), (2, False)):
                sending.put_nowait(InferRequest(model="seen", inputs={"IN": numbers(seed)}))
                _, answer = await anext(stream)
                assert isinstance(answer, InferResult)
                assert (answer.outputs["OUT"] == numbers(seed)).all()
                if before:
                    await Stopping(server, log).signal(signal.SIGTERM)
                    assert (await anext(told)).status == NOT_SERVING
            assert not await client.server_ready()
            assert not await client.model_ready("seen")
            with pytest.raises(HTTPError, match="503"):
                await asyncio.to_thread(urlopen, ready, timeout=20)
            async with AsyncClient(server.address) as newcomer:
                for caller in (client, newcomer):
                    result = await caller.infer("seen", {"IN": numbers(3)})
                    assert (result.outputs["OUT"] == numbers(3)).all()
            server.process.send_signal(signal.SIGTERM)
            assert await Stopping(server, log).ended() == 1


async def test_a_request_that_does_not_end_is_cut_off_in_the_end(
    repository: Path, tmp_path: Path
) -> None:
    log = tmp_path / "stderr.log"
    with serving(repository, "--exit-timeout-secs", "1", log=log) as server:
        stopping = Stopping(server, log)
        async with AsyncClient(server.address) as client:
            endless = asyncio.create_task(client.infer("late", {"IN": numbers(1, ENDLESS)}))
            await accepted(client, 1)
            await stopping.signal(signal.SIGTERM)
            with pytest.raises(TrivetError):
                await endless
        assert await stopping.ended() == 0


def free_port() -> int:
    """A port that was free a moment ago."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def starting(repository: Path) -> Iterator[tuple[subprocess.Popen[str], str, HealthStub]]:
    """A server that may still be loading, its address, and its health."""
    port = str(free_port())
    address = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "trivet", "serve", "--model-repository", str(repository)]
    options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50)]
    with (
        subprocess.Popen(
            [*command, "--grpc-port", port, "--transport", chosen(), "--allow-metrics=false"],
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
        grpc.insecure_channel(address, options=options) as channel,
    ):
        try:
            yield process, address, HealthStub(channel)
        finally:
            process.kill()


def test_health_says_not_serving_until_every_model_is_warm(tmp_path: Path) -> None:
    add_model(tmp_path, "slow", fake_config(delay_us=1_500_000))  # and so is its warm-up
    with starting(tmp_path) as (process, address, health):
        watch = health.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=20)
        assert next(watch).status == NOT_SERVING
        with Client(address) as client:
            assert client.server_live()
            assert not client.server_ready()
            assert not client.model_ready("slow")
            with pytest.raises(Unavailable, match="LOADING"):
                client.infer("slow", {"IN": numbers(1)})
            assert next(watch).status == SERVING
            assert client.server_ready()
            (statistics,) = client.statistics("slow")
            assert statistics.inference_count == 0  # the warm-up is not counted
        watch.cancel()
        assert process.stdout is not None
        assert process.stdout.readline() == f"trivet: serving on {address}\n"
        process.terminate()
        assert process.wait(20) == 0


def test_a_signal_while_models_load_ends_it_cleanly(tmp_path: Path) -> None:
    add_model(tmp_path, "slow", fake_config(delay_us=1_500_000))
    with starting(tmp_path) as (process, _, health):
        asked = health_pb2.HealthCheckRequest()
        assert health.Check(asked, wait_for_ready=True, timeout=20).status == NOT_SERVING
        process.terminate()
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "serving" not in out


@pytest.fixture(scope="module")
def half_good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("half")
    add_model(repository, "good")
    add_model(repository, "unopened", fake_config(fail_to_open="true"))
    add_model(repository, "unread", fake_config(max_batch_size=-3))
    return repository


def test_with_exit_on_error_off_the_good_models_serve_and_the_bad_say_why(
    half_good: Path, tmp_path: Path
) -> None:
    log = tmp_path / "stderr.log"
    with (
        serving(half_good, "--exit-on-error=false", log=log) as server,
        Client(server.address) as client,
    ):
        array = numbers(5)
        assert (client.infer("good", {"IN": array}).outputs["OUT"] == array).all()
        states = {(state.name, state.state): state.reason for state in client.repository_index()}
        assert set(states) == {
            ("good", "READY"),
            ("unopened", "UNAVAILABLE"),
            ("unread", "UNAVAILABLE"),
        }
        assert 'parameters["fail_to_open"]' in states["unopened", "UNAVAILABLE"]
        assert "max_batch_size: is -3" in states["unread", "UNAVAILABLE"]
        assert [state.name for state in client.repository_index(ready=True)] == ["good"]
        assert client.model_ready("good")
        assert not client.server_ready()  # one who waits for all the models has to know
        for name in ("unopened", "unread"):
            with pytest.raises(NotFound, match=f"Request for unknown model: '{name}'"):
                client.infer(name, {"IN": array})
        assert server.stop() == 0


def test_by_default_a_faulty_model_ends_the_start_and_every_fault_is_told(half_good: Path) -> None:
    command = [sys.executable, "-m", "trivet", "serve", "--model-repository", str(half_good)]
    ended = subprocess.run(
        [*command, "--grpc-port", "0", "--allow-metrics=false"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert "serving on" not in ended.stdout
    told = [line for line in ended.stderr.splitlines() if line.startswith("trivet: error: ")]
    assert len(told) == 2
    assert any("unopened/config.pbtxt" in line and "fail_to_open" in line for line in told)
    assert any("unread/config.pbtxt: max_batch_size: is -3" in line for line in told)
    assert ended.stderr.count("max_batch_size: is -3") == 1  # and not in the log as well
    assert "Traceback" not in ended.stderr


def test_a_port_of_the_systems_choice_is_printed_and_two_servers_get_two(repository: Path) -> None:
    with serving(repository) as one, serving(repository) as other:
        assert one.address != other.address
        for server in (one, other):
            host, _, port = server.address.rpartition(":")
            assert host == "127.0.0.1"
            assert int(port) > 0
            with Client(server.address) as client:
                assert client.server_ready()
