"""A request that is over -> its spans, made in one go of the times that it left on its way.

    inference.GRPCInferenceService/ModelInfer      the call, or a message of a stream
      infer pipeline                               each request of it to a model
        tokenize                                   a step by a model of the backend `tokenizers`
        step encoder                               any other step
          queue                                    of a failed one: as long as it waited
          batch                                    in a batch; linked to the batch's own span
            compute                                the engine
    batch encoder                                  a trace of its own, which neighbours link to

Spans of the SDK are made whole instead of being started and ended: whether a request is traced is
known only when it is over, and a span that is started and ended takes nine times as long.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from trivet.errors import Code
from trivet.request import BatchRun, Stages
from trivet.telemetry.otel.exporters import SCOPE
from trivet.telemetry.stops import Stop
from trivet.telemetry.subject import Asked, Subject

Attributes = Mapping[str, str | int | float | bool]

BackendOf = Callable[[str], str]  # a model's name -> its backend's; "" where it is not there

_TOKENIZERS = "tokenizers"
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)

# Whose fault it is that these calls failed: the server's, as OpenTelemetry's conventions for gRPC
# have it. Of all other failures the span says the code, and is no error.
_ERRORS = frozenset(
    {
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended. kept: why it is traced: parent, rate, error or slow."""

    ns: int
    code: Code
    message: str
    kept: str


class SpanMaker:
    """Knows what all spans of this server have in common."""

    def __init__(self, resource: Resource, backend_of: BackendOf) -> None:
        self._resource = resource
        self._backend_of = backend_of

    def spans(self, subject: Subject, ended: Ended, now_ns: int) -> list[ReadableSpan]:
        """All spans of a request. now_ns: of the clock whose times these are."""
        return list(_Tree(self._resource, self._backend_of, now_ns).of(subject, ended))


class _Tree:
    """The spans of one request."""

    def __init__(self, resource: Resource, backend_of: BackendOf, now_ns: int) -> None:
        self._resource = resource
        self._backend_of = backend_of
        # The clock's times to the world's, by one difference for all spans of a trace: it stays
        # whole when somebody sets the world's clock.
        self._to_world_ns = time.time_ns() - now_ns

    def of(self, subject: Subject, ended: Ended) -> Iterator[ReadableSpan]:
        caller = subject.parent
        state = TraceState.from_header([caller.state]) if caller and caller.state else None
        root = _context(*subject.ids, state)
        above = _context(caller.trace_id, caller.span_id, state, remote=True) if caller else None
        service, _, method = subject.name.partition("/")
        attributes: dict[str, str | int | float | bool] = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": method,
            "rpc.grpc.status_code": int(ended.code),
            "trivet.kept_for": ended.kept,
        }
        if subject.more:
            attributes["trivet.requests_not_shown"] = subject.more
        is_error = ended.code in _ERRORS
        status = Status(StatusCode.ERROR, ended.message) if is_error else _UNSET
        times = subject.started_ns, ended.ns
        yield self._span(subject.name, root, above, times, attributes, SpanKind.SERVER, status)
        for asked in subject.asked:
            yield from self._asked(asked, root)

    def _asked(self, asked: Asked, above: SpanContext) -> Iterator[ReadableSpan]:
        model, version, request_id, times, own, steps, error, stops = asked
        here = _below(above)
        attributes: dict[str, str | int | float | bool] = {
            "trivet.model.name": model,
            "trivet.model.version": version,
        }
        if request_id:
            attributes["trivet.request.id"] = request_id
        status = _UNSET if error is None else Status(StatusCode.ERROR, error)
        if stops:
            attributes["trivet.failed_in"] = "batch" if stops[0].taken_ns else "queue"
        yield self._span(f"infer {model}", here, above, times, attributes, status=status)
        for step, stages in (steps or {}).items():
            yield from self._step(step, stages, here)
        if own and not steps:
            yield from self._stages(model, own, here)
        for number, stop in enumerate(stops):  # what ended since the first failed is not to blame
            yield from self._stop(stop, model, here, _UNSET if number else status)

    def _step(self, model: str, stages: Stages, above: SpanContext) -> Iterator[ReadableSpan]:
        if not stages.queued_ns:  # its answer came from the cache
            return
        here = _below(above)
        name, times = self._step_name(model), (stages.queued_ns, _ends(stages))
        yield self._span(name, here, above, times, {"trivet.model.name": model})
        yield from self._stages(model, stages, here)

    def _stop(
        self, stop: Stop, asked: str, above: SpanContext, status: Status
    ) -> Iterator[ReadableSpan]:
        """Where a request to `asked` ended: with that model, or with one of its steps."""
        model, queued_ns, taken_ns, ended_ns = stop
        if model != asked:
            here, name, times = _below(above), self._step_name(model), (queued_ns, ended_ns)
            told = {"trivet.model.name": model}
            yield self._span(name, here, above, times, told, status=status)
            above = here
        times = queued_ns, taken_ns or ended_ns
        in_queue = _UNSET if taken_ns else status
        yield self._span("queue", _below(above), above, times, status=in_queue)
        if taken_ns:
            yield self._span("batch", _below(above), above, (taken_ns, ended_ns), status=status)

    def _step_name(self, model: str) -> str:
        return "tokenize" if self._backend_of(model) == _TOKENIZERS else f"step {model}"

    def _stages(self, model: str, stages: Stages, above: SpanContext) -> Iterator[ReadableSpan]:
        """queue, batch and compute of one stay in a model's queue."""
        if not (queued_ns := stages.queued_ns):
            return
        taken_ns = queued_ns + stages.queue_ns
        merged_ns = taken_ns + stages.compute_input_ns
        computed_ns = merged_ns + stages.compute_infer_ns
        of_all = taken_ns, _ends(stages)
        yield self._span("queue", _below(above), above, (queued_ns, taken_ns))
        batch, here = stages.batch, _below(above)
        if batch is None:
            yield self._span("batch", here, above, of_all)
        else:
            if not isinstance(batch.span, SpanContext):  # the first of its requests that is traced
                batch.span = _context(random.getrandbits(128) or 1, _new_id())
                yield self._batch(model, batch, batch.span, of_all)
            links = (Link(batch.span),)
            yield self._span("batch", here, above, of_all, _of_batch(batch), links=links)
        yield self._span("compute", _below(here), here, (merged_ns, computed_ns))

    def _batch(
        self, model: str, batch: BatchRun, context: SpanContext, times: tuple[int, int]
    ) -> ReadableSpan:
        attributes = {"trivet.model.name": model, **_of_batch(batch)}
        return self._span(f"batch {model}", context, None, times, attributes)

    def _span(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        times: tuple[int, int],
        attributes: Attributes | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        status: Status = _UNSET,
        links: tuple[Link, ...] = (),
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            links=links,
            kind=kind,
            status=status,
            start_time=times[0] + self._to_world_ns,
            end_time=times[1] + self._to_world_ns,
            instrumentation_scope=SCOPE,
        )


def _of_batch(batch: BatchRun) -> dict[str, str | int | float | bool]:
    return {
        "trivet.batch.requests": batch.requests,
        "trivet.batch.rows": batch.rows,
        "trivet.batch.tokens": batch.tokens,
        "trivet.batch.padding_tokens": batch.padding_tokens,
    }


def _ends(stages: Stages) -> int:
    return stages.queued_ns + stages.total_ns


def _new_id() -> int:
    return random.getrandbits(64) or 1


def _below(above: SpanContext) -> SpanContext:
    return _context(above.trace_id, _new_id(), above.trace_state)


def _context(
    trace_id: int, span_id: int, state: TraceState | None = None, *, remote: bool = False
) -> SpanContext:
    return SpanContext(trace_id, span_id, remote, _SAMPLED, state)
