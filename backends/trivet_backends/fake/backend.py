"""A backend that echoes: each output is the input of the same position, of any type and shape.

Its parameters make it slow, broken or picky, so that a server around it can be tested and loaded
without a model. It goes through `Stacked` like any dense engine: rows are padded, and cut again.
A test may hold it at a gate and see what it executed:

    gate = threading.Event()
    backend = FakeBackend(gate)
    ...
    backend.wait_for_batches(1, timeout_s=10)  # the first is at the gate; what comes now queues
    gate.set()
    assert backend.batches == [Executed(rows=(1,), elements=4), Executed(rows=(1, 1), elements=10)]

A decoupled model echoes as many times as it is told to, each time with its place in the parameter
`answer`, taking the time of one execute for each.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from trivet.backend.contract import Answer, Batch, LoadContext, Rows, Sender, Signature
from trivet.backend.stacked import Stacked
from trivet.config import ModelConfig
from trivet.errors import EngineFailed, Fault, InstanceDied
from trivet.request import Tensors
from trivet_backends import named_dims
from trivet_backends.fake.behaviour import (
    FAIL_TO_OPEN,
    HANG_TO_OPEN,
    PARAMETERS,
    Behaviour,
    behaviour_of,
)
from trivet_backends.parameters import Reader

_REMEMBERED = 1_000  # batches of each model; a load run makes millions, at 150 bytes each


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """One batch: the rows of each request, and the elements of the first input as computed."""

    rows: tuple[int, ...]
    elements: int


class FakeBackend:
    """Opens nothing: the config says all."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        """gate: every batch waits until it is set, after it was noted in `batches`."""
        self._gate = gate
        self._noted = threading.Condition()
        self._released = threading.Event()
        self._hanging = 0
        self._executed: deque[Executed] = deque(maxlen=_REMEMBERED)

    @property
    def batches(self) -> list[Executed]:
        """What was executed, in the order of start: the last 1,000 batches."""
        return list(self._executed)

    def open(self, config: ModelConfig, context: LoadContext) -> FakeArtifact:
        """Read the parameters.

        Raises InvalidConfig: `fail_to_open`, a parameter out of its range, outputs that are not
        like the inputs they echo.
        """
        reader = Reader(config)
        reader.look_for_typos(PARAMETERS)
        if reader.value(FAIL_TO_OPEN):
            reader.fault(FAIL_TO_OPEN.name, "it is switched on", "switch it off")
        if reader.value(HANG_TO_OPEN):
            self.hang()
        behaviour = behaviour_of(reader, config)
        reader.faults.extend(_not_echoed(config))
        told = named_dims.signature(config, reader)
        reader.done()
        return FakeArtifact(self, behaviour, told)

    def pass_gate(self, executed: Executed) -> None:
        """Note a batch, and wait for the gate."""
        with self._noted:
            self._executed.append(executed)
            self._noted.notify_all()
        if self._gate is not None:
            self._gate.wait()

    def hang(self) -> None:
        """Return when `release` was called."""
        with self._noted:
            self._hanging += 1
            self._noted.notify_all()
        self._released.wait()

    def wait_for_hanging(self, count: int, timeout_s: float) -> None:
        """Wait until so many calls have come to hang. Raises TimeoutError if they do not."""
        with self._noted:
            if not self._noted.wait_for(lambda: self._hanging >= count, timeout_s):
                raise TimeoutError(f"{self._hanging} of {count} calls hang after {timeout_s} s")

    def release(self) -> None:
        """Let everything go on that hangs; nothing hangs any more."""
        self._released.set()

    def wait_for_batches(self, count: int, timeout_s: float) -> None:
        """Wait until so many batches have started. Raises TimeoutError if they do not in time."""
        with self._noted:
            if not self._noted.wait_for(lambda: len(self._executed) >= count, timeout_s):
                raise TimeoutError(f"{len(self._executed)} of {count} batches in {timeout_s} s")


class FakeArtifact:
    """Nothing but the behaviour asked for."""

    def __init__(self, backend: FakeBackend, behaviour: Behaviour, told: Signature) -> None:
        self._backend = backend
        self._behaviour = behaviour
        self._signature = told
        self._made = count(1)

    @property
    def signature(self) -> Signature:
        """The config's own tensors, with the symbols that its parameters name."""
        return self._signature

    def instance(self, config: ModelConfig) -> FakeInstance:
        """Raises EngineFailed for one more than `instances_in_all`."""
        if 0 < self._behaviour.instances < next(self._made):
            raise EngineFailed(f"fake: told to make {self._behaviour.instances} instances in all")
        if self._behaviour.hang_to_start:
            self._backend.hang()
        return FakeInstance(self._backend, self._behaviour, config)

    def close(self) -> None:
        """Nothing is held."""


class FakeInstance:
    """Notes the batch, waits at the gate, and echoes."""

    def __init__(self, backend: FakeBackend, behaviour: Behaviour, config: ModelConfig) -> None:
        self._backend = backend
        self._behaviour = behaviour
        self._inputs = [spec.name for spec in config.inputs]
        self._outputs = [spec.name for spec in config.outputs]
        self._batches = config.max_batch_size > 0
        self._stacked = Stacked(self._echo, config)
        self._rows: tuple[int, ...] = ()  # of the requests being executed
        self._died: InstanceDied | None = None

    def execute(self, batch: Batch) -> Sequence[Answer]:
        """Echo the batch. Raises as the parameters say; once dead, InstanceDied for ever."""
        self._check_alive()
        firsts = [request.inputs[self._inputs[0]] for request in batch.requests]
        self._rows = tuple(len(first) if self._batches else 1 for first in firsts)
        return self._stacked.execute(batch)

    def stream(self, request: Rows, answers: Sender) -> None:
        """Echo the request several times. Raises as the parameters say."""
        self._check_alive()
        first = request.inputs[self._inputs[0]]
        rows = len(first) if self._batches else 1
        self._backend.pass_gate(Executed(rows=(rows,), elements=first.size))
        answers_due = self._behaviour.count(request.inputs)
        for place in range(answers_due):
            if answers.is_cancelled():
                return
            self._apply(first)
            final = self._behaviour.tell_final and place == answers_due - 1
            answers.send(Answer(self._echoes(request.inputs), {"answer": place}), final=final)
            if place + 1 == self._behaviour.fail_after:
                raise EngineFailed(f"fake: told to fail after {place + 1} answers")

    def close(self) -> None:
        self._stacked.close()

    def _echo(self, inputs: Tensors) -> Tensors:
        first = inputs[self._inputs[0]]
        self._backend.pass_gate(Executed(rows=self._rows, elements=first.size))
        self._apply(first)
        return self._echoes(inputs)

    def _apply(self, first: np.ndarray) -> None:
        if self._behaviour.hangs(first):
            self._backend.hang()
        try:
            self._behaviour.apply(first)
        except InstanceDied as died:
            self._died = died
            raise

    def _check_alive(self) -> None:
        if self._died is not None:
            raise InstanceDied(self._died.message, idle=True)

    def _echoes(self, inputs: Tensors) -> Tensors:
        echoed = zip(self._outputs, self._inputs, strict=False)  # an input may have no echo
        return {output: inputs[name] for output, name in echoed}


def _not_echoed(config: ModelConfig) -> list[Fault]:
    """Outputs that have no input to echo, or one of another type."""
    where = f"{config.name}/config.pbtxt: output"
    if not config.inputs:
        return [Fault(f"{config.name}/config.pbtxt: input", "there is none", "name one to echo")]
    faults = []
    for i, output in enumerate(config.outputs):
        if i >= len(config.inputs):
            what = f"'{output.name}' has no input to echo"
            faults.append(Fault(f"{where}[{i}]", what, f"add input[{i}]"))
        elif config.inputs[i].datatype != output.datatype:
            what = f"is {output.datatype} and echoes an input of {config.inputs[i].datatype}"
            faults.append(Fault(f"{where}[{i}].data_type", what, "give both the same"))
    return faults
