"""`trivet serve`: serve a model repository over gRPC until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from trivet.cli.flags.access import restrictions
from trivet.cli.flags.admission import admission_limits
from trivet.cli.flags.cache import cache_bytes
from trivet.cli.flags.groups import FLAGS, GROUPS
from trivet.cli.flags.limits import request_limits
from trivet.cli.flags.logs import started_log
from trivet.cli.flags.metrics import metrics_config
from trivet.cli.flags.model_control import control_options
from trivet.cli.flags.options import grpc_options
from trivet.cli.flags.otlp import telemetry
from trivet.cli.flags.rate_limit import rate_limits, without_effect
from trivet.cli.flags.settings import TOML
from trivet.cli.flags.time_limits import time_limits
from trivet.cli.flags.unserved import notices

if TYPE_CHECKING:
    from trivet.app import ServerConfig
    from trivet.cli.settings.settled import Settled
    from trivet.telemetry.logs import Log

log = logging.getLogger(__name__)

HOLD = "TRITONSERVER_DELAY_SCHEDULER"  # for test suites; a variable, as they set it already

NAME = "serve"
HELP = "serve a model repository over gRPC"
DESCRIPTION = """\
Read every model of the repository, make the ones its version policies ask for ready, and answer
KServe v2 (inference.GRPCInferenceService), trivet.v1.TextService, grpc.health.v1 and reflection on
one port until SIGINT or SIGTERM. Then health says NOT_SERVING, after --shutdown-delay-secs no new
request is taken, every accepted one is answered, and the process ends with status 0. A second
signal ends it at once, with status 1.

Every flag may be given as a variable (TRIVET_GRPC_PORT for --grpc-port) or in a settings file, too.
"""
EPILOG = """\
examples:
  trivet serve --model-repository model_repository/examples
  trivet serve --model-repository /models --grpc-address 0.0.0.0 --grpc-port 9000
  TRIVET_GRPC_PORT=9000 trivet serve --settings-file trivet.toml --print-config
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; those that Triton has too are spelled as Triton spells them."""
    parser.usage = "trivet serve --model-repository DIR [--FLAG=VALUE ...]"
    for group in GROUPS:
        shown = parser.add_argument_group(group.title)
        for flag in group.flags:
            flag.add_to(shown)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; 0 after a clean stop."""
    # grpc tells of a port in use in lines of its own, which say less than ours. Read at its import.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # h2corn would tell systemd that all is ready, or stops, whenever one of its servers is or does.
    os.environ.pop("NOTIFY_SOCKET", None)
    from trivet.cli.settings.settled import settled

    settings = settled(args, os.environ, FLAGS)
    if args.print_config:
        return _print(settings, args.print_config)
    started = started_log(settings.args)
    for variable, instead in settings.unknown:
        log.warning("variable_without_effect", extra={"variable": variable, "instead": instead})
    return asyncio.run(_serve(server_config(settings.args, started)))


def _print(settings: Settled, form: str) -> int:
    """Settings to stdout, and to stderr what would be warned of; then they are held together."""
    from trivet.cli.ls import table
    from trivet.cli.settings.shown import HEADINGS, as_toml, rows
    from trivet.telemetry.logs import Log

    if form == TOML:
        print(as_toml(settings.said), end="")
    else:
        print(table([HEADINGS, *rows(settings.said)]))
    for variable, instead in settings.unknown:
        print(f"trivet: warning: environment: {variable}: {instead}", file=sys.stderr)
    logging.getLogger("trivet").addHandler(logging.NullHandler())  # or Python prints bare events
    server_config(settings.args, Log())
    return 0


def server_config(args: argparse.Namespace, started: Log) -> ServerConfig:
    """The settings together. Raises InvalidConfig for those that contradict one another."""
    from trivet.app import ServerConfig

    for flag, instead in (*notices(args), *without_effect(args)):
        log.warning("flag_without_effect", extra={"flag": flag, "instead": instead})
    trace, otlp = telemetry(args, os.environ)
    return ServerConfig(
        repositories=tuple(args.model_repository),
        grpc=grpc_options(args),
        restrictions=restrictions(args.grpc_restricted_protocol),
        token_file=args.token_file,
        control=control_options(args),
        server_name=args.server_name,
        cache_bytes=cache_bytes(args),
        shutdown_delay_s=args.shutdown_delay_secs,
        exit_on_error=args.exit_on_error,
        hold_until=_hold_until(os.environ),
        rate_limits=rate_limits(args),
        time_limits=time_limits(args),
        allow_client_shm=args.allow_client_shm,
        allow_python_backend=args.allow_python_backend,
        header_forward_pattern=args.grpc_header_forward_pattern,
        limits=request_limits(args),
        admission=admission_limits(args),
        trace=trace,
        otlp=otlp,
        log=started,
        metrics=metrics_config(args),
    )


def _hold_until(environment: Mapping[str, str]) -> int:
    """How many requests a test suite wants waiting before the first batch is taken, as in Triton.

    Raises InvalidConfig if it is no whole number.
    """
    from trivet.errors import Fault, InvalidConfig

    written = environment.get(HOLD, "") or "0"
    if not (written.isascii() and written.isdecimal()):
        what = f"'{written}' is no whole number"
        cure = "write how many requests must wait before the first batch, or unset it"
        raise InvalidConfig([Fault(f"environment: {HOLD}", what, cure)])
    return int(written)


async def _serve(config: ServerConfig) -> int:
    from trivet import interpreter
    from trivet.app import running

    interpreter.set_up()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _on_signal, stop)
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(stack.enter_async_context(running(config)))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():  # told to stop before it was ready
            starting.cancel()
            await asyncio.wait((starting,))
            return 0
        app = starting.result()
        if config.metrics and app.metrics_port is not None:
            told = config.metrics.http.listener.address(app.metrics_port)
            print(f"trivet: metrics on http://{told}/metrics", flush=True)
            if config.metrics.page:
                print(f"trivet: page on http://{told}/", flush=True)
        print(f"trivet: serving on {config.grpc.address(app.grpc_port)}", flush=True)
        await stopping
        print("trivet: stopping; accepted requests are being finished", file=sys.stderr, flush=True)
    return 0


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(1)
    stop.set()
