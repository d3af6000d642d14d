"""Flags of tracing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trivet.cli.flags.flag import Flag

if TYPE_CHECKING:
    from trivet.telemetry.trace_settings import TraceSettings

Setting = tuple[str, str]

# As --trace-config names them -> as TraceSetting does; `file` stands for itself.
_NAMES = {
    "level": "trace_level",
    "rate": "trace_rate",
    "count": "trace_count",
    "mode": "trace_mode",
    "log-frequency": "log_frequency",
}
_OF_MODE = ("file", "log-frequency")


def setting(text: str) -> Setting:
    """<setting>=<value> or triton,<setting>=<value>; checked as far as it goes alone."""
    from trivet.errors import ServeError

    named, _, value = text.partition("=")
    mode, comma, name = named.rpartition(",")
    if name not in (*_NAMES, "file") or bool(comma) != (name in _OF_MODE) or not value:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no trace setting; give level=, rate=, count=, mode=, triton,file= or"
            " triton,log-frequency= with a value"
        )
    if comma and mode != "triton":
        raise argparse.ArgumentTypeError(f"trace mode '{mode}' is not offered; give triton,{name}=")
    try:
        trace_settings([("file", "x"), (name, value)])
    except ServeError as error:
        raise argparse.ArgumentTypeError(error.message) from None
    return name, value


def trace_settings(settings: Sequence[Setting]) -> TraceSettings:
    """All of --trace-config together; a level may be given several times, of others the last holds.

    Raises InvalidInput for a level without a file.
    """
    from trivet.telemetry.trace_settings import TraceSettings, changed

    files = [value for name, value in settings if name == "file"]
    levels = [value for name, value in settings if name == "level"]
    changes = {_NAMES[name]: [value] for name, value in settings if name != "file"}
    if levels:
        changes["trace_level"] = levels
    start = TraceSettings(file=files[-1] if files else "")
    return changed(start, changes, start)


FLAGS = (
    Flag(
        name="trace-config",
        metavar="[triton,]SETTING=VALUE",
        parse=setting,
        repeated=True,
        help="what is traced: level=TIMESTAMPS or TENSORS (default: OFF), rate=N, every N-th"
        " request (default: 1000), count=N traces (default: -1, any number), triton,file=FILE,"
        " where they are written as JSON, triton,log-frequency=N, a new file after N traces"
        " (default: 0, one file); may be given several times; TraceSetting changes all but the"
        " file at run time",
    ),
)
