"""What the parameters of a fake model make it do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivet.config import ModelConfig
from trivet.errors import EngineFailed, InstanceDied
from trivet.request import Tensors
from trivet_backends.parameters import Parameter, Reader, switch, text, whole

DELAY_US = whole("delay_us", 0, "Microseconds every execute takes.")
DELAY_US_PER_TOKEN = whole(
    "delay_us_per_token", 0, "Microseconds per element of the first input, padding included."
)
FAIL = switch("fail", False, "Every execute raises.")
POISON = text("poison", "", "A first input that holds this value makes its whole batch raise.")
DIE = text("die", "", "A first input that holds this value kills the instance that gets it.")
HANG = text("hang", "", "A first input that holds this value keeps the instance until `release`.")
EXHAUST = text("exhaust", "", "A first input that holds this value raises MemoryError.")
INSTANCES = whole("instances_in_all", 0, "Instances that can be made, dead ones included; 0: any.")
FAIL_TO_OPEN = switch("fail_to_open", False, "Opening is refused.")
HANG_TO_OPEN = switch("hang_to_open", False, "Opening takes until `release`.")
HANG_TO_START = switch("hang_to_start", False, "Making an instance takes until `release`.")
ANSWERS = whole("answers_per_request", 1, "Answers that a decoupled model gives a request.")
ANSWERS_INPUT = text("answers_input", "", "An input whose first element says how many, instead.")
FAIL_AFTER = whole("fail_after", 0, "Answers after which a decoupled model raises; 0: it does not.")
TELL_FINAL = switch("tell_final", True, "The last of a decoupled model's answers says so.")
PARAMETERS: tuple[Parameter[Any], ...] = (
    DELAY_US,
    DELAY_US_PER_TOKEN,
    FAIL,
    POISON,
    DIE,
    HANG,
    EXHAUST,
    INSTANCES,
    FAIL_TO_OPEN,
    HANG_TO_OPEN,
    HANG_TO_START,
    ANSWERS,
    ANSWERS_INPUT,
    FAIL_AFTER,
    TELL_FINAL,
)
_DECOUPLED = (ANSWERS, ANSWERS_INPUT, FAIL_AFTER, TELL_FINAL)  # without meaning for other models


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the parameters of these names say."""

    delay_us: int
    delay_us_per_token: int
    fail: bool
    poison: str
    die: str
    hang: str
    exhaust: str
    hang_to_start: bool
    instances: int
    answers: int
    answers_input: str
    fail_after: int
    tell_final: bool

    def apply(self, first: np.ndarray) -> None:
        """Take the time, and raise EngineFailed, InstanceDied or MemoryError if so asked.

        first: the first input, padded.
        """
        delay_us = self.delay_us + self.delay_us_per_token * first.size
        if delay_us:
            time.sleep(delay_us / 1_000_000)
        if self.fail:
            raise EngineFailed("fake: told to fail")
        if self.poison and _holds(first, self.poison):
            raise EngineFailed(f"fake: poisoned by {self.poison}")
        if self.die and _holds(first, self.die):
            raise InstanceDied(f"fake: killed by {self.die}")
        if self.exhaust and _holds(first, self.exhaust):
            raise MemoryError(f"fake: exhausted by {self.exhaust}")

    def hangs(self, first: np.ndarray) -> bool:
        """Whether it hangs of this first input."""
        return bool(self.hang) and _holds(first, self.hang)

    def count(self, inputs: Tensors) -> int:
        """How many answers a decoupled model gives to these inputs."""
        if not self.answers_input:
            return self.answers
        return int(inputs[self.answers_input].flat[0])


def behaviour_of(reader: Reader, config: ModelConfig) -> Behaviour:
    """What the config asks for; what is wrong with it is left in the reader."""
    _check_decoupled(config, reader)
    return Behaviour(
        delay_us=reader.value(DELAY_US),
        delay_us_per_token=reader.value(DELAY_US_PER_TOKEN),
        fail=reader.value(FAIL),
        poison=reader.value(POISON),
        die=reader.value(DIE),
        hang=reader.value(HANG),
        exhaust=reader.value(EXHAUST),
        hang_to_start=reader.value(HANG_TO_START),
        instances=reader.value(INSTANCES),
        answers=reader.value(ANSWERS),
        answers_input=reader.value(ANSWERS_INPUT),
        fail_after=reader.value(FAIL_AFTER),
        tell_final=reader.value(TELL_FINAL),
    )


def _check_decoupled(config: ModelConfig, reader: Reader) -> None:
    """Fault what only a decoupled model can do, and a number of answers that no input can say."""
    if not config.decoupled:
        for parameter in _DECOUPLED:
            if parameter.name in config.parameters:
                cure = "add model_transaction_policy { decoupled: true }, or remove it"
                reader.fault(parameter.name, "it is for decoupled models only", cure)
        return
    name = reader.value(ANSWERS_INPUT)
    spec = config.input(name)
    if name and (spec is None or "INT" not in spec.datatype or spec.optional):
        what = f"'{name}' is no input of whole numbers that always comes"
        reader.fault(ANSWERS_INPUT.name, what, "name one")


def _holds(array: np.ndarray, value: str) -> bool:
    """Whether any element, written as text, is `value`: 666, 0.5, True, a BYTES text."""
    if array.dtype == object:
        return value.encode() in array.ravel().tolist()
    return value in map(str, array.ravel().tolist())
