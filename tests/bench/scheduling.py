"""What scheduling itself costs: CPU per request in batches of 32, the instance doing nothing.

    python -m tests.bench.scheduling

512 callers, each with one request on its way at any time, of its own length where that counts;
process CPU time, so that it counts what the instance's thread costs, too. Best of 5 runs, since
other processes only make it slower.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

import numpy as np

from tests.bench.results import Row, at_most
from tests.bench.setting import Setting, say
from tests.harness.instances import irreplaceable
from trivet.backend.contract import Answer, Batch
from trivet.clock import SystemClock
from trivet.config import BatchOrder, BatchPolicy, ModelConfig, Priorities, QueuePolicy, TensorSpec
from trivet.request import InferRequest
from trivet.scheduling.batching import BatchScheduler
from trivet.scheduling.executor import Executor
from trivet.telemetry.statistics import Statistics

CALLERS = 512
REQUESTS = 20_480
RUNS = 5

TIMEOUTS = QueuePolicy(timeout_us=1_000_000, max_size=1_000)
THREE = Priorities(levels=3, default_level=2)
CASES = (
    ("equal shapes", BatchPolicy(max_batch_size=32), QueuePolicy(), Priorities()),
    (
        "by length",
        BatchPolicy(max_batch_size=32, order=BatchOrder.LENGTH),
        QueuePolicy(),
        Priorities(),
    ),
    ("with timeouts and a bound", BatchPolicy(max_batch_size=32), TIMEOUTS, Priorities()),
    ("with timeouts and priorities", BatchPolicy(max_batch_size=32), TIMEOUTS, THREE),
    (
        "with a delay",
        BatchPolicy(max_batch_size=32, max_queue_delay_us=500),
        QueuePolicy(),
        Priorities(),
    ),
    (
        "in order of arrival",
        BatchPolicy(max_batch_size=32, preserve_ordering=True),
        QueuePolicy(),
        Priorities(),
    ),
)


class Nothing:
    """Answers with nothing."""

    def execute(self, batch: Batch) -> Sequence[Answer]:
        return [Answer({}) for _ in batch.requests]

    def close(self) -> None: ...


async def measure(config: ModelConfig) -> tuple[float, float]:
    """Microseconds of CPU per request, and requests per batch."""
    statistics = Statistics()
    instances = [(Nothing(), Executor("nothing"))]
    scheduler = BatchScheduler(config, 1, irreplaceable(instances), statistics, SystemClock())
    by_length = config.dynamic_batching and config.dynamic_batching.order is BatchOrder.LENGTH

    async def call(number: int, times: int) -> None:
        length = 16 + number * 97 % 240 if by_length else 16
        inputs = {"X": np.zeros((1, length), dtype=np.int64)}
        request = InferRequest(model="m", inputs=inputs)
        for _ in range(times):
            await scheduler.infer(request)

    started = time.process_time()
    await asyncio.gather(*(call(number, REQUESTS // CALLERS) for number in range(CALLERS)))
    spent = time.process_time() - started
    await scheduler.close()
    asked = REQUESTS // CALLERS * CALLERS
    return spent * 1e6 / asked, asked / statistics.execution_count


def cases() -> Iterator[tuple[str, ModelConfig]]:
    for name, policy, queue_policy, priorities in CASES:
        yield (
            name,
            ModelConfig(
                name="m",
                max_batch_size=32,
                inputs=(TensorSpec(name="X", datatype="INT64", dims=(-1,)),),
                dynamic_batching=policy,
                queue_policy=queue_policy,
                priorities=priorities,
            ),
        )


def rows(setting: Setting) -> list[Row]:
    """For `make bench`: every policy, the costs of its runs."""
    found = []
    for name, config in cases():
        costs_us = [asyncio.run(measure(config))[0] for _ in range(setting.times(RUNS))]
        say(f"scheduling {name}: {min(costs_us):.1f} us")
        found.append(Row(f"scheduling {name}: CPU per request, us", costs_us, at_most(30)))
    return found


def main() -> None:
    for name, config in cases():
        cost_us, held = min(asyncio.run(measure(config)) for _ in range(RUNS))
        print(f"{name:30} {cost_us:6.1f} us CPU per request, {held:4.1f} requests per batch")


if __name__ == "__main__":
    main()
