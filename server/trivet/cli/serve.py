"""`trivet serve`: serve a model repository over gRPC until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trivet.app import ServerConfig

HOLD = "TRITONSERVER_DELAY_SCHEDULER"  # for test suites; a variable, as they set it already

NAME = "serve"
HELP = "serve a model repository over gRPC"
DESCRIPTION = """\
Read every model of the repository, make the ones its version policies ask for ready, and answer
KServe v2 (inference.GRPCInferenceService), trivet.v1.TextService, grpc.health.v1 and reflection on
one port until SIGINT or SIGTERM. Then no new request is taken, every accepted one is answered, and
the process ends with status 0. A second signal ends it at once.
"""
EPILOG = """\
examples:
  trivet serve --model-repository model_repository/examples
  trivet serve --model-repository /models --grpc-address 0.0.0.0 --grpc-port 9000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; those that Triton has too are spelled as Triton spells them."""
    parser.add_argument(
        "--model-repository",
        metavar="DIR",
        type=Path,
        action="append",
        required=True,
        help="folder with one sub-folder per model; may be given several times",
    )
    parser.add_argument(
        "--grpc-address",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s, this machine only)",
    )
    parser.add_argument(
        "--grpc-port",
        metavar="PORT",
        type=_port,
        default=8001,
        help="port to listen on; 0 takes a free one and prints it (default: %(default)s)",
    )
    parser.add_argument(
        "--grpc-max-message-bytes",
        metavar="BYTES",
        type=_positive,
        default=64 << 20,
        help="largest message taken or sent; a larger one is refused with RESOURCE_EXHAUSTED"
        " (default: %(default)s, 64 MiB)",
    )
    parser.add_argument(
        "--server-name",
        metavar="NAME",
        default="triton",
        help="what ServerMetadata answers; existing clients check for 'triton'"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--cache-config",
        metavar="local,size=BYTES",
        type=_cache_bytes,
        default=0,
        help="memory for the answers of models that enable response_cache; without it their"
        " requests are all computed",
    )
    parser.add_argument(
        "--exit-timeout-secs",
        metavar="SECONDS",
        type=_positive,
        default=30,
        help="how long accepted requests may take to finish on shutdown (default: %(default)s)",
    )
    parser.add_argument(
        "--exit-on-error",
        metavar="true|false",
        type=_boolean,
        default=True,
        help="end with an error if a model cannot be loaded, instead of serving the others"
        " (default: true)",
    )
    parser.add_argument(
        "--log-verbose",
        metavar="LEVEL",
        type=int,
        default=0,
        help="above 0, log what the server decides, too (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; 0 after a clean stop."""
    # grpc tells of a port in use in lines of its own, which say less than ours. Read at its import.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from trivet.app import ServerConfig
    from trivet.telemetry.logs import log_to_stderr
    from trivet.transport.grpcio import Options

    log_to_stderr(verbose=args.log_verbose > 0)
    config = ServerConfig(
        repositories=tuple(args.model_repository),
        grpc=Options(
            host=args.grpc_address,
            port=args.grpc_port,
            max_message_bytes=args.grpc_max_message_bytes,
            grace_s=args.exit_timeout_secs,
        ),
        server_name=args.server_name,
        cache_bytes=args.cache_config,
        exit_on_error=args.exit_on_error,
        hold_until=_hold_until(os.environ),
    )
    return asyncio.run(_serve(config))


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
    from trivet.app import running

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
        print(f"trivet: serving on {config.grpc.host}:{app.grpc_port}", flush=True)
        await stopping
        print("trivet: stopping; accepted requests are being finished", file=sys.stderr, flush=True)
    return 0


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(1)
    stop.set()


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"'{text}' is no port; give 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no positive whole number")
    return int(text)


def _cache_bytes(text: str) -> int:
    name, _, setting = text.partition(",")
    key, _, value = setting.partition("=")
    if (name, key) != ("local", "size"):
        raise argparse.ArgumentTypeError(f"'{text}' is no cache; give local,size=BYTES")
    return _positive(value)


def _boolean(text: str) -> bool:
    if text not in {"true", "false", "1", "0"}:
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
    return text in {"true", "1"}
