"""The compiled forms of one model, of which each batch takes the one that fits.

A lone batch runs on all cores, a batch beside others on its share. The engine fixes a compiled
model's threads when it is made, so there are two: the wide one, and a narrow one with a stream for
each instance, whose weights its streams share.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trivet.backend.cores import Cores

if TYPE_CHECKING:
    import openvino


@dataclass(eq=False, slots=True)
class Lane:
    """One compiled model. width: cores a batch gets on it; 0 where the engine works it out."""

    width: int
    compiled: openvino.CompiledModel
    used: bool = False  # ever


def choose(lanes: Sequence[Lane], share: int) -> Lane:
    """The widest lane within the share, else the narrowest. lanes: widest first.

    One that was never used goes before all others: warming up the instances warms up the lanes.
    """
    fresh = (lane for lane in lanes if not lane.used)
    fitting = (lane for lane in lanes if lane.width <= share)
    return next(fresh, None) or next(fitting, None) or lanes[-1]


class Lanes:
    """The lanes of one model; batches come from the threads of all its instances."""

    def __init__(self, lanes: Sequence[Lane], cores: Cores) -> None:
        """lanes: widest first."""
        self._lanes = lanes
        self._cores = cores
        self._lock = threading.Lock()

    @contextmanager
    def lane(self) -> Iterator[Lane]:
        """The lane that a batch should run on now."""
        with self._cores.share() as share:
            with self._lock:
                lane = choose(self._lanes, share)
                lane.used = True
            yield lane
