"""Triton's flags that have no effect here, so that an operator's start line moves over unchanged.

For each it is decided: accepted, with a line in the log that says what it does not do, or refused,
where going on without it would leave the operator with something else than was asked for.
When one is served, it leaves this table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trivet.cli.flags.flag import Flag, Parse
from trivet.cli.flags.values import boolean, port, whole
from trivet.errors import Fault, InvalidConfig


@dataclass(frozen=True, slots=True)
class Unserved:
    """One flag of Triton's.

    instead: what is not done, and what to do, as the log and --help tell it.
    fine: the value with which nothing is lost; then nothing is said.
    refused: other values end the start.
    """

    flag: Flag
    instead: str
    fine: object = None
    refused: bool = False

    def says(self, value: object) -> bool:
        """Whether there is something to tell about a value; None: the flag is not given."""
        return value is not None and (self.fine is None or value != self.fine)


def notices(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Flag and text for each that is given and does nothing. Raises InvalidConfig for refused ones.

    args: as parsed with all of TABLE.
    """
    given = [row for row in TABLE if row.says(getattr(args, row.flag.dest))]
    if refused := [row for row in given if row.refused]:
        cure = "leave it out, or serve it with Triton"
        raise InvalidConfig([Fault(f"--{row.flag.name}", row.instead, cure) for row in refused])
    return ((f"--{row.flag.name}", row.instead) for row in given)


def _rows(
    instead: str,
    *names: str,
    metavar: str = "VALUE",
    parse: Parse = str,
    fine: object = None,
    refused: bool = False,
) -> list[Unserved]:
    """Flags of one kind and one fate."""
    effect = f"{str(not fine).lower()} is refused" if refused else "no effect"
    return [
        Unserved(
            Flag(name=name, metavar=metavar, parse=parse, help=f"{effect}: {instead}"),
            instead,
            fine,
            refused,
        )
        for name in names
    ]


_SWITCH = "true|false"
_HTTP = "HTTP is not served; clients have to speak gRPC"
_TRACE = "an old name; give --trace-config, which has the same settings"
_COMPLETED = "what a config leaves out is taken from the artifact all the same"
_MEMORY = "memory is the engine's own; there is no pool"
_CLOUD = "its endpoint is not served"
_PLUGIN = "is not read: backends and caches are Python packages that are installed"

TABLE: Sequence[Unserved] = (
    *_rows(_HTTP, "allow-http", metavar=_SWITCH, parse=boolean, fine=False),
    *_rows(_HTTP, "http-port", metavar="PORT", parse=port),
    *_rows(_HTTP, "reuse-http-port", metavar=_SWITCH, parse=boolean, fine=False),
    *_rows(_HTTP, "http-thread-count", "http-max-input-size", metavar="N", parse=whole),
    *_rows(_HTTP, "http-address", "http-header-forward-pattern", "http-restricted-api"),
    *_rows("counters and histograms are always there, summaries never", "metrics-config"),
    *_rows(_TRACE, "trace-file", "trace-level"),
    *_rows(_TRACE, "trace-rate", "trace-count", "trace-log-frequency", metavar="N"),
    *_rows(
        "the transport makes its own objects and threads",
        "grpc-infer-allocation-pool-size",
        "grpc-infer-thread-count",
        "grpc-max-response-pool-size",
        metavar="N",
        parse=whole,
    ),
    *_rows(_COMPLETED, "disable-auto-complete-config", metavar=""),
    *_rows(_COMPLETED, "strict-model-config", metavar=_SWITCH, parse=boolean, fine=False),
    *_rows(
        "the server is ready when all its models are",
        "strict-readiness",
        metavar=_SWITCH,
        parse=boolean,
        fine=True,
    ),
    *_rows(
        "as many models are loaded at a time as there are cores",
        "model-load-thread-count",
        parse=whole,
    ),
    *_rows("a load that fails is not tried again", "model-load-retry-count", parse=whole, fine=0),
    *_rows(
        "models of one name in several repositories cannot be told apart",
        "model-namespacing",
        metavar=_SWITCH,
        parse=boolean,
        fine=False,
        refused=True,
    ),
    *_rows(_PLUGIN, "backend-directory", "repoagent-directory", "cache-directory", metavar="DIR"),
    *_rows("engines take their settings from parameters in config.pbtxt", "backend-config"),
    *_rows("the parameter cpu_affinity in config.pbtxt keeps a model to cores", "host-policy"),
    *_rows(_MEMORY, "pinned-memory-pool-byte-size", metavar="BYTES", parse=whole),
    *_rows(_MEMORY, "cuda-memory-pool-byte-size", "cuda-virtual-address-size"),
    *_rows(_MEMORY, "buffer-manager-thread-count", metavar="N", parse=whole),
    *_rows(_MEMORY, "enable-peer-access", metavar=_SWITCH, parse=boolean, fine=False),
    *_rows("the engine decides which GPU it can use", "min-supported-compute-capability"),
    *_rows("a load takes the memory its engine takes", "model-load-gpu-limit"),
    *_rows(
        _CLOUD,
        "allow-sagemaker",
        "allow-vertex-ai",
        metavar=_SWITCH,
        parse=boolean,
        fine=False,
        refused=True,
    ),
    *_rows(
        _CLOUD,
        "sagemaker-port",
        "sagemaker-safe-port-range",
        "sagemaker-thread-count",
        "vertex-ai-port",
        "vertex-ai-thread-count",
        "vertex-ai-default-model",
    ),
)

FLAGS = tuple(row.flag for row in TABLE)
