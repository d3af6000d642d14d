"""Counts of values by bucket, which cost a search in a tuple and two additions each.

Touched from the event loop only; who reads them elsewhere copies `counts` at once.
"""

from __future__ import annotations

from bisect import bisect_left

# From the 50 us of a quick call to a minute, in steps of 2 to 2.5: a quantile that a dashboard
# guesses from them is off by half of that at worst.
_SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
NS_BOUNDS = tuple(round(seconds * 1e9) for seconds in _SECONDS)
ROW_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Histogram:
    """How many values there were up to each bound, and their sum."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[int, ...] = NS_BOUNDS) -> None:
        """bounds: ascending; a value counts for the first that is not below it."""
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last: over all bounds
        self.sum = 0

    @property
    def bounds(self) -> tuple[int, ...]:
        return self._bounds

    def add(self, value: int, times: int = 1) -> None:
        self.counts[bisect_left(self._bounds, value)] += times
        self.sum += value * times
