"""Callers who behave badly: connections that break off, answers that nobody reads, bursts."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import urllib.request
from dataclasses import dataclass

import numpy as np

from tests.harness.relay import relayed
from tests.soak import expected as due
from tests.soak.repository import BOUND
from tests.soak.tally import Wrong
from tests.soak.tasks import Asking, check_equal, numbers_of
from trivet_client import AsyncClient, InferRequest
from trivet_client.errors import TrivetError, Unavailable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)
OPENINGS = (
    b"",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS, to a port that speaks none
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    PREFACE[:10],
    PREFACE + SETTINGS,
    PREFACE + SETTINGS + struct.pack(">I", 5000)[1:] + b"\x01\x04" + struct.pack(">I", 1) + b"\x82",
    PREFACE + SETTINGS + b"\xff" * 200,
)
CUT = 12  # calls on a connection that breaks off
BURST = 5 * BOUND
UNREAD = 100_000  # answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """address: HOST:PORT of gRPC. metrics: the page's address."""

    asking: Asking
    address: str
    metrics: str


async def break_off(around: Surroundings, rng: random.Random) -> None:
    """Connections that say something odd, or nothing, and are reset."""
    host, _, port = around.address.rpartition(":")
    for _ in range(rng.randint(1, 8)):
        _, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(OSError):
            writer.write(rng.choice(OPENINGS) + rng.randbytes(rng.randint(0, 99)))
            await writer.drain()
            await asyncio.sleep(rng.uniform(0, 0.05))
        # Closed with unsent data forgotten: a reset instead of an end.
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()


async def cut_off(around: Surroundings, rng: random.Random) -> None:
    """A connection that breaks with calls and streams on their way; what was answered is right."""
    answered: list[np.ndarray] = []

    async def ask(client: AsyncClient, number: int) -> None:
        with contextlib.suppress(TrivetError):
            match number % 3:
                case 0:
                    answered.append((await client.embed(due.EMBEDDED[0])).vector)
                case 1:
                    await client.infer("slow", {"IN": numbers_of(number)})
                case _:
                    async for _ in client.embed_stream(due.EMBEDDED[:6]):
                        pass

    _, _, port = around.address.rpartition(":")
    async with relayed(int(port)) as relay:
        client = AsyncClient(f"127.0.0.1:{relay.port}", timeout_s=20)
        calls = [asyncio.create_task(ask(client, number)) for number in range(CUT)]
        await asyncio.wait(calls, timeout=rng.uniform(0.005, 0.3))
    await client.close()
    await asyncio.gather(*calls, return_exceptions=True)
    for vector in answered:
        around.asking.expected.check_embedding(0, vector)


async def leave_unread(around: Surroundings, rng: random.Random) -> None:
    """Ask a decoupled model for very many answers, read one, and leave after a moment."""
    counted = np.array([[UNREAD]], np.int32)
    request = InferRequest(
        model="repeat", inputs={"IN": np.ones((1, 64), np.float32), "COUNT": counted}
    )
    async with AsyncClient(around.address) as client:
        stream = client.infer_stream([request])
        await anext(stream)
        await asyncio.sleep(rng.uniform(0.01, 0.2))
        await stream.aclose()


async def burst(around: Surroundings, rng: random.Random) -> None:
    """More at once than a queue holds: answers, and refusals in the right words."""
    numbers = numbers_of(rng.getrandbits(32))
    ask = around.asking.client.infer
    answers = await asyncio.gather(
        *(ask("bounded", {"IN": numbers}) for _ in range(BURST)), return_exceptions=True
    )
    answered = 0
    for answer in answers:
        if isinstance(answer, Unavailable) and "exceeds maximum queue size" in str(answer):
            continue
        if isinstance(answer, BaseException):
            raise answer
        check_equal(answer.outputs["OUT"], numbers, "echo in a burst")
        answered += 1
    if not answered:
        raise Wrong("nobody was answered in a burst")


async def look(around: Surroundings, _: random.Random) -> None:
    """Whatever an operator asks for."""
    page = around.metrics.removesuffix("/metrics") + "/"
    for address in (around.metrics, page):
        await asyncio.to_thread(_read, address)
    client = around.asking.client
    if not await client.server_live():
        raise Wrong("the server says that it is not live")
    await client.server_metadata()
    await client.repository_index()
    await client.statistics()
    await client.model_costs()
    await client.model_metadata("embed")
    await client.model_config("fill_mask")


def _read(address: str) -> None:
    with urllib.request.urlopen(address, timeout=60) as answer:
        answer.read()
