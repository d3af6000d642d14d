"""Flags of tracing."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import number, without_login

if TYPE_CHECKING:
    from trivet.telemetry.trace_settings import TraceSettings

Setting = tuple[str, str]

# As --trace-config names them -> as TraceSetting does; those of a mode stand for themselves.
_NAMES = {
    "level": "trace_level",
    "rate": "trace_rate",
    "count": "trace_count",
    "mode": "trace_mode",
    "log-frequency": "log_frequency",
}
_NUMBERS = ("bsp_max_queue_size", "bsp_max_export_batch_size", "bsp_schedule_delay")
_OF_MODES = {
    "triton": ("file", "log-frequency"),
    "opentelemetry": ("url", "resource", *_NUMBERS),
}
_FOR_ALL = ("level", "rate", "count", "mode")


def setting(text: str) -> Setting:
    """<setting>=<value> or <mode>,<setting>=<value>; checked as far as it goes alone."""
    from trivet.errors import ServeError
    from trivet.telemetry.trace_settings import TraceSettings, changed

    named, _, value = text.partition("=")
    mode, comma, name = named.rpartition(",")
    if name not in (_OF_MODES.get(mode, ()) if comma else _FOR_ALL) or not value:
        of_modes = (f"{mode},{name}=" for mode, names in _OF_MODES.items() for name in names)
        raise argparse.ArgumentTypeError(
            f"'{text}' is no trace setting; give {'=, '.join(_FOR_ALL)}=, {', '.join(of_modes)}"
            " with a value"
        )
    if name == "mode" and value not in _OF_MODES:
        raise argparse.ArgumentTypeError(
            f"trace mode '{value}' is not offered; give {' or '.join(_OF_MODES)}"
        )
    if name == "resource" and not all(value.partition("=")):
        raise argparse.ArgumentTypeError(f"'{value}' is no KEY=VALUE of a resource")
    if name in _NUMBERS and not (value.isascii() and value.isdecimal() and int(value)):
        raise argparse.ArgumentTypeError(f"{name}: '{value}' is no positive whole number")
    if name in _NAMES and name != "mode":
        try:
            changed(TraceSettings(file="x"), {_NAMES[name]: [value]}, TraceSettings())
        except ServeError as error:
            raise argparse.ArgumentTypeError(error.message) from None
    return name, value


def trace_settings(
    settings: Sequence[Setting],
    *,
    collector: bool = False,
    slow_ms: float = 1000.0,
    environment: Mapping[str, str] | None = None,
) -> TraceSettings:
    """All of --trace-config together; a level may be given several times, of others the last holds.

    collector: spans have a place to go to, so they are made unless something else is asked for.
    environment: where OpenTelemetry's sampler is looked for.
    Raises InvalidInput for a level without a file, and for one that spans cannot have.
    """
    from trivet.telemetry.otel.settings import sampling_of
    from trivet.telemetry.trace_settings import TIMESTAMPS, TraceMode, TraceSettings, changed

    of = dict(settings)
    levels = [value for name, value in settings if name == "level"]
    changes = {_NAMES[name]: [of[name]] for name in _NAMES if name in of}
    if levels:
        changes["trace_level"] = levels
    spans = of.get("mode") == "opentelemetry" or (
        collector and "mode" not in of and "file" not in of
    )
    if not spans:
        start = TraceSettings(file=of.get("file", ""))
        return changed(start, changes, start)
    rate, parent_based = sampling_of(environment or {})
    start = TraceSettings(
        # As in Triton, whoever names the mode names the level, too.
        levels=() if "mode" in of else (TIMESTAMPS,),
        rate=rate,
        mode=TraceMode.OPENTELEMETRY,
        parent_based=parent_based,
        slow_ns=round(slow_ms * 1e6),
    )
    return changed(start, changes, start)


FLAGS = (
    Flag(
        name="trace-config",
        metavar="[MODE,]SETTING=VALUE",
        parse=setting,
        repeated=True,
        redacted=without_login,
        help="what is traced: level=TIMESTAMPS or TENSORS (default: OFF), rate=N, every N-th"
        " request (default: 1000), count=N traces (default: -1, any number), mode=triton or"
        " opentelemetry. Of mode triton: triton,file=FILE, where they are written as JSON,"
        " triton,log-frequency=N, a new file after N traces (default: 0, one file). Of mode"
        " opentelemetry: opentelemetry,url=URL, where spans are sent by HTTP,"
        " opentelemetry,resource=KEY=VALUE, what is said of the server, and"
        " opentelemetry,bsp_max_queue_size=N, bsp_max_export_batch_size=N spans and"
        " bsp_schedule_delay=MS (default: 2048, 512, 5000). May be given several times;"
        " TraceSetting changes level, rate and count at run time",
    ),
    Flag(
        name="trace-slow-ms",
        metavar="MS",
        parse=number,
        default=1000.0,
        help="spans are made of every failure, and of every request that took so long, whatever"
        " the rate, up to 100 a second; 0: no request is too slow (default: 1000)",
    ),
)
