"""A whole server in this process, as its flags have it: what it sends is sent when it has ended."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.harness.transports import chosen
from trivet.app import App, running
from trivet.cli.flags.groups import FLAGS
from trivet.cli.serve import add_arguments, server_config
from trivet.cli.settings.settled import settled
from trivet.telemetry.logs import Log


@dataclass(frozen=True)
class Here:
    """A running server and a channel to it."""

    app: App
    channel: grpc.aio.Channel

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.app.grpc_port}"


@asynccontextmanager
async def serving_here(repository: Path, *flags: str) -> AsyncIterator[Here]:
    """Serve until the block ends. Metrics over HTTP are off unless a flag speaks of them."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    if not any("metrics" in flag for flag in flags):
        flags = (*flags, "--allow-metrics=false")
    common = ("--model-repository", str(repository), "--grpc-port=0", "--transport", chosen())
    args = parser.parse_args([*common, *flags])
    config = server_config(settled(args, os.environ, FLAGS).args, Log())
    async with (
        running(config) as app,
        grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}") as channel,
    ):
        yield Here(app, channel)
