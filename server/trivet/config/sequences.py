"""Requests that depend on one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from trivet.config.tensors import Dims


class ControlKind(Enum):
    """What an input that the scheduler fills tells the model of a request's sequence."""

    START = "start"  # it begins with this request
    READY = "ready"  # there is a request in this row at all
    END = "end"  # it ends with this request
    CORRID = "corrid"  # which one it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """An input of one element that the scheduler fills.

    false_true: the values that say no and yes; (0, 0) for CORRID, which has neither.
    """

    name: str
    kind: ControlKind
    datatype: str
    false_true: tuple[float, float] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceState:
    """An output that comes back as an input with the next request of its sequence.

    initial_dims, initial_file: what a new sequence begins with; a file of raw bytes in the model's
    folder initial_state, or zeros where none is named. initial_name: what the file calls it.
    """

    input_name: str
    output_name: str
    datatype: str
    dims: Dims
    initial_dims: Dims
    initial_name: str = ""
    initial_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectStrategy:
    """Each sequence has a row of its own on one instance until it ends."""

    max_queue_delay_us: int = 0  # microseconds to wait for company
    minimum_slot_utilization: float = 0.0  # share of the rows, 0 to 1, with which no one waits


@dataclass(frozen=True, slots=True, kw_only=True)
class OldestStrategy:
    """Requests of different sequences share a batch in the order they came, in any row."""

    max_candidate_sequences: int  # under way at a time, for each instance
    preferred_batch_sizes: tuple[int, ...] = ()  # requests
    max_queue_delay_us: int = 0  # microseconds to wait for company
    preserve_ordering: bool = False  # one instance answers in the order it was asked either way


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencePolicy:
    """How requests that depend on one another are kept together and in order."""

    strategy: DirectStrategy | OldestStrategy = field(default_factory=DirectStrategy)
    max_idle_us: int = 1_000_000  # microseconds without a request after which one is given up
    controls: tuple[Control, ...] = ()
    states: tuple[SequenceState, ...] = ()

    @property
    def filled_inputs(self) -> frozenset[str]:
        """The inputs that the scheduler fills; clients neither see nor send them."""
        controls = (control.name for control in self.controls)
        return frozenset((*controls, *(state.input_name for state in self.states)))
