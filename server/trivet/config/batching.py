"""Which requests share a batch, how long they may wait for it, and who goes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class BatchOrder(Enum):
    """Which waiting requests may share a batch with the oldest one."""

    EQUAL_SHAPES = "equal_shapes"  # Triton's meaning: the next in line, as long as shapes are equal
    ARRIVAL = "arrival"  # the next in line, padded to the longest
    LENGTH = "length"  # those nearest in length within a window, padded to the longest


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """When waiting requests leave as a batch, and which."""

    order: BatchOrder = BatchOrder.EQUAL_SHAPES
    max_batch_size: int = 1  # rows
    max_queue_delay_us: int = 0  # microseconds an incomplete batch may wait for company
    preferred_batch_sizes: tuple[int, ...] = ()  # rows; an incomplete batch waits for one of them
    max_batch_tokens: int = 0  # rows x longest row; 0: no such limit
    max_padding_percent: int = 100  # of a batch's tokens; by length only
    # Waiting requests, from the oldest, among which companions are looked for. 512 mixed texts in
    # batches of 256 tokens: 64 of them leave 7 % padding, 256 leave 3 %, and cost 0.1 ms a batch.
    window: int = 256
    preserve_ordering: bool = False  # answers leave in the order the requests came


class TimeoutAction(Enum):
    """What becomes of a request that has waited its timeout."""

    REJECT = "reject"  # it is answered: unavailable
    DELAY = "delay"  # it waits on, behind the others of its level


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """How many requests may wait and for how long, and what happens to one that may no longer."""

    max_size: int = 0  # requests; 0: any number
    timeout_us: int = 0  # microseconds in the queue; 0: any time
    timeout_action: TimeoutAction = TimeoutAction.REJECT
    allow_timeout_override: bool = False  # a request may ask for a shorter timeout of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Priorities:
    """Levels of priority. 1 is served first; a level without a policy has the model's."""

    levels: int = 0  # 0: all requests are equal
    default_level: int = 0  # of requests that name none; 0 if there are no levels
    policies: Mapping[int, QueuePolicy] = field(default_factory=dict)  # by level
