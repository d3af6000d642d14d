"""`trivet serve` as it would be without metrics: nothing is counted that they alone tell.

    python -m tests.bench.uncounted serve ... --allow-metrics=false

The server has no such switch of its own, which would cost as much as what it switches off.
"""

from __future__ import annotations

import sys
import time

from trivet import cli
from trivet.request import Stages
from trivet.scheduling.post import Post
from trivet.telemetry.statistics import BatchDurations, Statistics


def _request_done(self: Statistics, rows: int, total_ns: int, stages: Stages) -> None:
    self.inference_count += rows
    self.last_inference_ms = time.time_ns() // 1_000_000
    self.success.add(total_ns)
    self.queue.add(stages.queue_ns)
    self.compute_input.add(stages.compute_input_ns)
    self.compute_infer.add(stages.compute_infer_ns)
    self.compute_output.add(stages.compute_output_ns)


def _batch_done(self: Statistics, rows: int, stages: Stages) -> None:
    self.execution_count += 1
    batch = self.batches.setdefault(rows, BatchDurations())
    batch.compute_input.add(stages.compute_input_ns)
    batch.compute_infer.add(stages.compute_infer_ns)
    batch.compute_output.add(stages.compute_output_ns)


def _begin(self: Post, now_ns: int) -> None:
    pass


def _release(self: Post, now_ns: int) -> None:
    if self.permit is not None:
        self.permit.release()


if __name__ == "__main__":
    Statistics.request_done = _request_done  # type: ignore[method-assign]
    Statistics.batch_done = _batch_done  # type: ignore[method-assign]
    Post.begin, Post.release = _begin, _release  # type: ignore[method-assign]
    sys.exit(cli.main())
