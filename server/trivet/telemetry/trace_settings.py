"""What is traced, in the words of the protocol's TraceSetting. Pure: text in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from trivet.errors import InvalidInput, Unimplemented

TIMESTAMPS, TENSORS, OFF = "TIMESTAMPS", "TENSORS", "OFF"
_MAX_RATE, _MAX_COUNT = 2**32 - 1, 2**31 - 1
_SHOWN = 40  # characters of a client's word that a message repeats

Changes = Mapping[str, Sequence[str]]  # setting -> values; no value takes it back to the default


class TraceMode(StrEnum):
    """Who writes the traces; chosen by the operator alone. The values are Triton's."""

    TRITON = "triton"  # a file of JSON
    OPENTELEMETRY = "opentelemetry"  # spans, sent to a collector


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """What is traced of a model's requests.

    levels: TIMESTAMPS, TENSORS; none: nothing is traced. rate: every so-manieth request; 0: none.
    count: traces still to be collected; -1: any number.
    Of mode TRITON: log_frequency: traces per file, each with a number behind its name; 0: one
    file. file: set by the operator alone, since it is written to.
    Of mode OPENTELEMETRY, in which rate and count are of requests without a caller's trace:
    parent_based: a caller's trace decides for its request. slow_ns: what took so long is traced
    whatever the rate, as failures are; 0: nothing is too slow.
    """

    levels: tuple[str, ...] = ()
    rate: int = 1000
    count: int = -1
    log_frequency: int = 0
    file: str = ""
    mode: TraceMode = TraceMode.TRITON
    parent_based: bool = True
    slow_ns: int = 1_000_000_000

    @property
    def are_on(self) -> bool:
        """Whether any request may be traced."""
        if self.mode is TraceMode.OPENTELEMETRY:
            return bool(self.levels)
        return bool(self.levels and self.rate and self.count and self.file)

    def told(self) -> dict[str, list[str]]:
        """As TraceSetting answers them."""
        return {
            "trace_level": list(self.levels) or [OFF],
            "trace_rate": [str(self.rate)],
            "trace_count": [str(self.count)],
            "log_frequency": [str(self.log_frequency)],
            "trace_file": [self.file],
            "trace_mode": [self.mode.value],
        }


def changed(settings: TraceSettings, changes: Changes, default: TraceSettings) -> TraceSettings:
    """The settings with these changes; a cleared one is as in `default`.

    Raises InvalidInput for an unknown setting or value, Unimplemented for what only the operator
    may set.
    """
    for name, values in changes.items():
        match name:
            case "trace_level":
                levels = _levels(values) if values else default.levels
                settings = replace(settings, levels=levels)
            case "trace_rate":
                rate = _number(name, values, 0, _MAX_RATE) if values else default.rate
                settings = replace(settings, rate=rate)
            case "trace_count":
                count = _number(name, values, -1, _MAX_COUNT) if values else default.count
                settings = replace(settings, count=count)
            case "log_frequency":
                found = _number(name, values, 0, _MAX_RATE) if values else default.log_frequency
                settings = replace(settings, log_frequency=found)
            case "trace_file":
                raise Unimplemented(
                    "trace file location can not be updated through network protocol; start the"
                    " server with --trace-config triton,file=FILE"
                )
            case "trace_mode":
                _check_mode(values, settings.mode)
            case _:
                known = ", ".join(TraceSettings().told())
                raise InvalidInput(f"unknown trace setting '{name[:_SHOWN]}'; there are {known}")
    if settings.mode is TraceMode.OPENTELEMETRY:
        if TENSORS in settings.levels:
            raise InvalidInput("trace_level TENSORS: spans carry no tensors; send TIMESTAMPS")
    elif settings.levels and not settings.file:
        raise InvalidInput(
            "attempting to set invalid trace setting: trace file name is not given; start the"
            " server with --trace-config triton,file=FILE"
        )
    return settings


def _levels(values: Sequence[str]) -> tuple[str, ...]:
    if list(values) == [OFF]:
        return ()
    for value in values:
        if value == OFF:
            raise InvalidInput("Expect only one trace level 'OFF' is specified; send it alone")
        if value not in (TIMESTAMPS, TENSORS):
            raise InvalidInput(
                f"trace_level '{value[:_SHOWN]}' is unknown; send {OFF}, {TIMESTAMPS} or {TENSORS}"
            )
    return tuple(level for level in (TIMESTAMPS, TENSORS) if level in values)


def _number(name: str, values: Sequence[str], lowest: int, highest: int) -> int:
    if len(values) != 1:
        raise InvalidInput(f"expect only 1 value for '{name}', got {len(values)}; send one")
    text = values[0]
    digits = text.removeprefix("-")
    number = int(text) if digits.isascii() and digits.isdecimal() and len(text) < 12 else None
    if number is None or not lowest <= number <= highest:
        raise InvalidInput(
            f"Unable to parse '{name}', got: {text[:_SHOWN]}; send a whole number from {lowest} to"
            f" {highest}"
        )
    return number


def _check_mode(values: Sequence[str], mode: TraceMode) -> None:
    if list(values) not in ([], [mode.value]):
        asked = ", ".join(values)[:_SHOWN]
        raise Unimplemented(
            f"trace_mode {asked!r} can not be updated through network protocol;"
            f" traces are written in mode '{mode.value}', start the server with --trace-config"
            " mode=MODE for the other"
        )
