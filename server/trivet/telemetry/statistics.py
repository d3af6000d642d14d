"""A model version's counters, in the meaning of the protocol's ModelStatistics.

Durations are sums of nanoseconds with the number of times they were added. Touched from the event
loop only, hence without locks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from trivet.request import Stages
from trivet.telemetry.failures import Reason
from trivet.telemetry.histogram import Histogram


@dataclass(slots=True)
class Duration:
    """How often something was timed, and the sum."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns


@dataclass(slots=True)
class BatchDurations:
    """The stages of all executions of one batch size."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)


@dataclass(slots=True)
class ResponseDurations:
    """What became of the n-th answers to the requests of a decoupled model.

    compute_infer: computing one, since the answer before it. empty_response: there was no n-th,
    and that was well. cancel: the caller left before it came.
    """

    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    empty_response: Duration = field(default_factory=Duration)
    cancel: Duration = field(default_factory=Duration)

    def succeeded(self, compute_ns: int) -> None:
        self.compute_infer.add(compute_ns)
        self.compute_output.add(0)  # an answer leaves as it is
        self.success.add(compute_ns)


# Places told apart; later answers are counted with the last. A stream may have millions.
_PLACES = 1000


@dataclass(slots=True)
class Histograms:
    """How long it took, in nanoseconds: of each answered request, and of each batch by stage."""

    request: Histogram = field(default_factory=Histogram)
    queue: Histogram = field(default_factory=Histogram)
    compute_input: Histogram = field(default_factory=Histogram)
    compute_infer: Histogram = field(default_factory=Histogram)
    compute_output: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class Statistics:
    """Counts of one model version since it was loaded.

    inference_count counts rows, execution_count batches; a pipeline counts its own requests as
    executions of their rows. tokens and padding_tokens: what length-aware batches held.
    failures: by Reason. truncated: answered requests of which a text was cut.
    """

    memory_bytes: int = 0  # that loading took; 0 where it is not known
    last_inference_ms: int = 0  # since the epoch; 0: none yet
    inference_count: int = 0
    execution_count: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)
    cache_hit: Duration = field(default_factory=Duration)
    cache_miss: Duration = field(default_factory=Duration)
    batches: dict[int, BatchDurations] = field(default_factory=dict)  # by rows
    tokens: int = 0
    padding_tokens: int = 0
    responses: dict[int, ResponseDurations] = field(default_factory=dict)  # by place; decoupled
    failures: list[int] = field(default_factory=lambda: [0] * len(Reason))
    truncated: int = 0
    histograms: Histograms = field(default_factory=Histograms)

    def request_done(self, rows: int, total_ns: int, stages: Stages) -> None:
        """Count one answered request."""
        self.inference_count += rows
        self.last_inference_ms = time.time_ns() // 1_000_000
        self.success.add(total_ns)
        self.queue.add(stages.queue_ns)
        self.compute_input.add(stages.compute_input_ns)
        self.compute_infer.add(stages.compute_infer_ns)
        self.compute_output.add(stages.compute_output_ns)
        self.histograms.request.add(total_ns)
        self.histograms.queue.add(stages.queue_ns)

    def cache_was_hit(self, total_ns: int, lookup_ns: int) -> None:
        """Count one request that was answered from the response cache.

        It is a success that waited for nothing; no inference and no stage is counted for it.
        """
        self.last_inference_ms = time.time_ns() // 1_000_000
        self.success.add(total_ns)
        self.queue.add(0)
        self.cache_hit.add(lookup_ns)
        self.histograms.request.add(total_ns)
        self.histograms.queue.add(0)

    def cache_was_missed(self, lookup_ns: int) -> None:
        """Count one request whose answer was not in the response cache."""
        self.cache_miss.add(lookup_ns)

    def cache_was_filled(self, insert_ns: int) -> None:
        """Add what it took to keep a missed answer to the time of its miss."""
        self.cache_miss.ns += insert_ns

    def request_failed(self, total_ns: int, reason: Reason = Reason.OTHER) -> None:
        """Count one request that got an error instead of an answer."""
        self.last_inference_ms = time.time_ns() // 1_000_000
        self.fail.add(total_ns)
        self.failures[reason] += 1

    def batch_done(self, rows: int, stages: Stages) -> None:
        """Count one execution."""
        self.execution_count += 1
        batch = self.batches.setdefault(rows, BatchDurations())
        batch.compute_input.add(stages.compute_input_ns)
        batch.compute_infer.add(stages.compute_infer_ns)
        batch.compute_output.add(stages.compute_output_ns)
        self.histograms.compute_input.add(stages.compute_input_ns)
        self.histograms.compute_infer.add(stages.compute_infer_ns)
        self.histograms.compute_output.add(stages.compute_output_ns)

    def tokens_computed(self, tokens: int, padding: int) -> None:
        """Count what a length-aware batch held, and what was computed for nothing."""
        self.tokens += tokens
        self.padding_tokens += padding

    def response(self, place: int) -> ResponseDurations:
        """The counters of a decoupled model's answers at this place, from 0, in a request's row."""
        return self.responses.setdefault(min(place, _PLACES - 1), ResponseDurations())
