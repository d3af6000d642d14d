"""A wire to listen to: passes bytes on to a port of this machine, and counts what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Relay:
    """port: where to connect instead. The others: so far.

    connections: made through it. received: bytes that came from the server.
    """

    port: int = 0
    connections: int = 0
    received: int = 0


@asynccontextmanager
async def relayed(port: int) -> AsyncIterator[Relay]:
    """Stand between clients and a port until the block ends."""
    relay = Relay()
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(
        source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        try:
            while data := await source.read(1 << 16):
                if counted:
                    relay.received += len(data)
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay.connections += 1
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        for source, sink, counted in (
            (reader, behind_writer, False),
            (behind_reader, writer, True),
        ):
            task = asyncio.create_task(pass_on(source, sink, counted=counted))
            tasks.add(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
