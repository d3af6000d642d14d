"""One server's turn: asked alone, loaded with everything, left quiet, asked alone again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import grpc
import tritonclient.grpc.aio as triton_aio

from tests.harness.server import ServerProcess, serving
from tests.harness.transports import serving_on
from tests.soak import bad_input
from tests.soak.changes import ByCalls, ByFiles
from tests.soak.expected import ask_alone, compare
from tests.soak.hostile import Surroundings
from tests.soak.meddlers import meddle, meddlers
from tests.soak.repository import Changes, write_repository
from tests.soak.tally import Tally
from tests.soak.tasks import Asking
from tests.soak.watching import Figures, Line, Sample, figures_of, left_over, lines
from tests.soak.workers import PATIENCE_S, work
from trivet.transport.options import Transport
from trivet_client import AsyncClient

# A connection breaks for all its calls when h2corn has seen 200 resets on it in a short time, so
# callers who leave share one with few.
CONNECTIONS = 8
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
SAMPLES = 60, 600  # of a turn: so many at least, and at most one a second beyond that
QUIET_S = 90.0  # until what the load left is gone; sequences left in the middle have 20 s
FLAGS = (
    "--allow-python-backend=true",
    "--allow-client-shm=true",
    "--metrics-port=0",
    f"--grpc-max-message-bytes={bad_input.LARGEST_MESSAGE}",
)
CONTROL = {
    "explicit": ("--model-control-mode=explicit", "--load-model=*", "--allow-model-upload=true"),
    "poll": ("--model-control-mode=poll", "--repository-poll-secs=1"),
}
CHANGING: Mapping[str, type[ByCalls | ByFiles]] = {"explicit": ByCalls, "poll": ByFiles}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a turn is to be. control: "explicit" or "poll"."""

    transport: Transport
    control: str
    seconds: float
    callers: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.transport.value}, {self.control}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of it. faults: whatever was wrong, each in a line."""

    plan: Plan
    seconds: float
    tally: Tally
    samples: Sequence[Sample]
    lines: Sequence[Line]
    before: Figures  # of the quiet server
    after: Figures
    faults: Sequence[str]


Show = Callable[[Plan, Tally, Sequence[Sample]], None]


def take_turn(plan: Plan, folder: Path, examples: Path, show: Show) -> Result:
    """Serve and load one server. folder: an empty one, of this turn. show: called now and then."""
    repository = folder / "models"
    repository.mkdir(parents=True)
    write_repository(repository, examples)
    flags = (*FLAGS, *CONTROL[plan.control])
    with (
        serving_on(plan.transport),
        serving(repository, *flags, log=folder / "server.log") as server,
    ):
        result = asyncio.run(_loaded(plan, server, Changes(repository), show))
        status = server.stop()
    if status:
        faults = [*result.faults, f"the server ended with status {status}"]
        return replace(result, faults=faults)
    return result


async def _loaded(plan: Plan, server: ServerProcess, changes: Changes, show: Show) -> Result:
    tally, over = Tally(), asyncio.Event()
    samples: list[Sample] = []
    async with _connected(server.address) as (first, *others):
        before = figures_of(server.process.pid)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for caller in range(plan.callers):
                asking = (first, *others)[caller % CONNECTIONS]
                group.create_task(work(asking, plan.seed, caller, tally, over))
            around = Surroundings(
                asking=first, address=server.address, metrics=server.metrics or ""
            )
            changing = CHANGING[plan.control](first, changes)
            for name, meddler in meddlers(around, changing).items():
                group.create_task(meddle(name, meddler, plan.seed, tally, over))
            await _watched(plan, server, began, samples, lambda: show(plan, tally, samples))
            over.set()
        seconds = time.monotonic() - began
        faults = list(tally.faults)
        if server.process.poll() is None:
            faults += compare(first.expected, await ask_alone(first.client))
            after = await _quiet(server.process.pid, before)
        else:
            faults.append(f"the server died with status {server.process.returncode}")
            after = samples[-1].figures
    found = lines(samples)
    faults += left_over(before, after)
    faults += [
        f"{line.name} grew by {line.growth:.1f} {line.unit}" for line in found if not line.flat
    ]
    return Result(
        plan=plan,
        seconds=seconds,
        tally=tally,
        samples=samples,
        lines=found,
        before=before,
        after=after,
        faults=faults,
    )


@asynccontextmanager
async def _connected(address: str) -> AsyncIterator[list[Asking]]:
    """So many to ask with, all connected, after everything was asked alone."""
    async with _client(address, 0) as alone:
        expected = await ask_alone(alone)
    sequences = count(1)
    asking = []
    async with contextlib.AsyncExitStack() as stack:
        for number in range(1, CONNECTIONS + 1):
            client = await stack.enter_async_context(_client(address, number))
            channel = grpc.aio.insecure_channel(address, OWN_CONNECTION)
            await stack.enter_async_context(channel)
            peer = triton_aio.InferenceServerClient(address, channel_args=OWN_CONNECTION)
            await stack.enter_async_context(peer)
            # Connections are made now, so that files are the same before the load and after.
            await asyncio.gather(
                client.server_live(), channel.channel_ready(), peer.is_server_live()
            )
            asking.append(
                Asking(
                    client=client,
                    channel=channel,
                    peer=peer,
                    expected=expected,
                    sequences=sequences,
                )
            )
        yield asking


def _client(address: str, number: int) -> AsyncClient:
    """One with a connection of its own: grpc shares one among channels that are set up alike."""
    return AsyncClient(address, timeout_s=PATIENCE_S, max_receive_bytes=(64 << 20) + number)


async def _watched(
    plan: Plan,
    server: ServerProcess,
    began: float,
    samples: list[Sample],
    show: Callable[[], None],
) -> None:
    """Take samples until the time is over, or the server has died."""
    fewest, most = SAMPLES
    pause_s = min(max(plan.seconds / most, 1.0), plan.seconds / fewest)
    while (at_s := time.monotonic() - began) < plan.seconds and server.process.poll() is None:
        with contextlib.suppress(OSError):
            samples.append(Sample(at_s=at_s, figures=figures_of(server.process.pid)))
        show()
        await asyncio.sleep(min(pause_s, max(plan.seconds - at_s, 0.01)))


async def _quiet(pid: int, before: Figures) -> Figures:
    """Wait until nothing is left of the load, or too long for that."""
    end = time.monotonic() + QUIET_S
    while left_over(before, after := figures_of(pid)) and time.monotonic() < end:
        await asyncio.sleep(0.5)
    return after
