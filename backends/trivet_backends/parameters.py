"""Parameters of a model's config as typed values.

A backend lists its parameters in one table of `Parameter`; `Reader` reads them from the config's
strings and collects every fault, so that a user sees them all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from trivet.config import ModelConfig
from trivet.errors import Fault, InvalidConfig

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Generic[T]):
    """One parameter. read: turns its text into a value, or raises ValueError."""

    name: str
    read: Callable[[str], T]
    expects: str  # completes "use ..."
    default: T
    meaning: str


def whole(name: str, default: int, meaning: str, *, at_least: int = 0) -> Parameter[int]:
    """A whole number."""

    def read(text: str) -> int:
        if (value := int(text)) < at_least:
            raise ValueError(text)
        return value

    expects = f"a whole number of at least {at_least}"
    return Parameter(name=name, read=read, expects=expects, default=default, meaning=meaning)


def switch(name: str, default: bool, meaning: str) -> Parameter[bool]:
    """On or off, written 1, true, 0 or false."""
    values = {"1": True, "true": True, "0": False, "false": False}
    return one_of(name, values, default, meaning)


def one_of(name: str, values: Mapping[str, T], default: T, meaning: str) -> Parameter[T]:
    """One of a few words, in any case."""

    def read(text: str) -> T:
        try:
            return values[text.strip().lower()]
        except KeyError as error:
            raise ValueError(text) from error

    expects = "one of " + ", ".join(values)
    return Parameter(name=name, read=read, expects=expects, default=default, meaning=meaning)


def text(name: str, default: str, meaning: str) -> Parameter[str]:
    """Any text."""
    return Parameter(name=name, read=str, expects="text", default=default, meaning=meaning)


class Reader:
    """Reads one model's parameters; `faults` holds all that was wrong."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self.faults: list[Fault] = []

    def value(self, parameter: Parameter[T]) -> T:
        """The parameter's value, or its default where the config says nothing or nonsense."""
        written = self._config.parameters.get(parameter.name)
        if written is None:
            return parameter.default
        try:
            return parameter.read(written)
        except ValueError:
            self.fault(parameter.name, f"'{written}' is no valid value", f"use {parameter.expects}")
            return parameter.default

    def look_for_typos(self, known: Iterable[Parameter[Any]]) -> None:
        """Fault a name that is almost one of ours.

        Other names pass: the server and other tools keep theirs in the same map.
        """
        names = {parameter.name for parameter in known}
        for written in self._config.parameters:
            # 0.85 tells "max_token" from "max_tokens", and lets the server's own
            # "max_batch_tokens" pass.
            close = (
                get_close_matches(written, names, 1, cutoff=0.85) if written not in names else ()
            )
            if close:
                self.fault(written, "there is no such parameter", f"did you mean '{close[0]}'?")

    def fault(self, name: str, what: str, cure: str) -> None:
        """Add a fault of the parameter `name`."""
        where = f'{self._config.name}/config.pbtxt: parameters["{name}"]'
        self.faults.append(Fault(where, what, cure))

    def done(self) -> None:
        """Raise InvalidConfig with everything found, if anything was."""
        if self.faults:
            raise InvalidConfig(self.faults)
