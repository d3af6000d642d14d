"""Sessions of every width over the same weights, of which each batch takes the one that fits.

A lone batch runs on all cores; while others run beside it, on its share of them. A session's
threads are fixed when it is opened, so there is one session for every place at every width: for 8
cores 1 of 8 threads, 2 of 4, 4 of 2, and 1 that has no threads but its callers'. Sessions over
mapped weights (`mapped`) cost 20 ms and next to no memory each, and those not in use sleep.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trivet.backend.cores import Cores

if TYPE_CHECKING:
    import onnxruntime


@dataclass(eq=False, slots=True)
class Lane:
    """One session, and how many threads it computes with. The narrowest takes any number."""

    width: int
    session: onnxruntime.InferenceSession
    free: bool = True
    used: bool = False  # ever


def widths(cores: int, instances: int) -> list[int]:
    """The width of every lane, widest first: halves down to what so many instances need."""
    narrowest = max(1, cores // max(1, instances))
    found, width = [], cores
    while width > narrowest:
        found += [width] * (cores // width)
        width = max(narrowest, width // 2)
    return [*found, *[narrowest] * (1 if narrowest == 1 else cores // narrowest)]


def choose(lanes: Sequence[Lane], share: int) -> Lane:
    """The widest free lane within the share, else the narrowest. lanes: widest first.

    One that was never used goes before all others: warming up the instances warms up the lanes.
    """
    fresh = (lane for lane in lanes if not lane.used)
    fitting = (lane for lane in lanes if lane.free and lane.width <= share)
    return next(fresh, None) or next(fitting, None) or lanes[-1]


class Lanes:
    """The lanes of one graph; batches come from the threads of all its instances."""

    def __init__(self, lanes: Sequence[Lane], cores: Cores) -> None:
        """lanes: widest first."""
        self._lanes = lanes
        self._cores = cores
        self._lock = threading.Lock()

    @contextmanager
    def session(self) -> Iterator[onnxruntime.InferenceSession]:
        """The session that a batch should run on now."""
        with self._cores.share() as share:
            with self._lock:
                lane = choose(self._lanes, share)
                lane.free, lane.used = False, True
            try:
                yield lane.session
            finally:
                with self._lock:
                    lane.free = True
