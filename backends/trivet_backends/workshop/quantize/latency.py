"""How long one row takes: all models in turn, again and again, as a machine's speed drifts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from trivet_backends.workshop.quantize.running import Feeds, Runner

_WARM_UPS = 3


def milliseconds(
    runners: Mapping[str, Runner],
    rows: Mapping[int, Feeds],
    rounds: int,
    announce: Callable[[str], None],
) -> dict[str, dict[int, float]]:
    """The median over the rounds, by model and by the row's tokens.

    Each turn runs twice and the second counts: the first meets the caches the last model left.
    """
    seen: dict[str, dict[int, list[float]]] = {name: {n: [] for n in rows} for name in runners}
    for name, runner in runners.items():
        announce(f"warming up {name}")
        for feeds in rows.values():
            for _ in range(_WARM_UPS):
                runner.run(feeds)
    for number in range(rounds):
        announce(f"measuring latency, round {number + 1} of {rounds}")
        for tokens, feeds in rows.items():
            for name, runner in runners.items():
                runner.run(feeds)
                begun = time.perf_counter()
                runner.run(feeds)
                seen[name][tokens].append((time.perf_counter() - begun) * 1e3)
    return {
        name: {tokens: statistics.median(values) for tokens, values in found.items()}
        for name, found in seen.items()
    }
