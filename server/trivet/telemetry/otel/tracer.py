"""Which requests become spans, decided when they are over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from trivet.clock import Clock
from trivet.errors import Code, ServeError
from trivet.request import InferRequest, InferResponse
from trivet.telemetry.otel.outlet import Outlet
from trivet.telemetry.otel.spans import Ended, SpanMaker
from trivet.telemetry.stops import Stop, listen
from trivet.telemetry.subject import Subject, current
from trivet.telemetry.trace_settings import TraceSettings
from trivet.telemetry.tracing import Traceable, Tracer
from trivet.telemetry.w3c import TRACEPARENT, TRACESTATE, Header, parent_of, written

# Failures and slow requests in a second that are traced whatever the rate. Where all of them fail
# or wait, more of the same tells nothing, and making spans of them would be one more burden.
MAX_BESIDES_PER_S = 100
_S = 1_000_000_000


class SpanTracer(Tracer):
    """Makes spans of requests that are over, and has them sent."""

    def __init__(
        self, clock: Clock, settings: TraceSettings, maker: SpanMaker, outlet: Outlet
    ) -> None:
        super().__init__(clock, settings)
        self._now_ns = clock.now_ns
        self._maker = maker
        self._outlet = outlet
        self._besides = _Allowance(MAX_BESIDES_PER_S)

    def begin(self, name: str, header: Header) -> Subject:
        """What a call, or a message of a stream, is known by from now on.

        name: of the method. header: looks up the caller's trace, if it has one.
        """
        told = header(TRACEPARENT)
        parent = None if told is None else parent_of(told, header(TRACESTATE))
        return Subject(name, parent, self._now_ns())

    def over(self, subject: Subject, code: Code, message: str = "") -> str:
        """Have it sent if it is to be. message: of a failure.

        Returns the traceresponse that its caller is told: nothing if nobody wants to know.
        """
        ended_ns = self._now_ns()
        kept = self._kept_for(subject, code, ended_ns)
        if kept:
            ended = Ended(ended_ns, code, message, kept)
            self._outlet.put(self._maker.spans(subject, ended, ended_ns))
        elif subject.parent is None:
            return ""
        return written(*subject.ids, sampled=bool(kept))

    def infer(self, model: Traceable, request: InferRequest) -> Awaitable[InferResponse]:
        """The model's answer, noted with the current subject. Raises what the model does."""
        subject = current()
        if subject is None or not self.on:
            return model.infer(request)
        return self._noted(subject, model, request)

    async def _noted(
        self, subject: Subject, model: Traceable, request: InferRequest
    ) -> InferResponse:
        started_ns, version, stops = self._now_ns(), model.version, listen()
        stages = steps = failure = None
        try:
            response = await model.infer(request)
            # Not the response itself: its arrays would live for as long as the call.
            stages, steps = response.stages, response.steps
            return response
        except BaseException as error:
            failure = said_of(error)
            raise
        finally:
            times = started_ns, self._now_ns()
            asked = request.model, version, request.id, times, stages, steps, failure, stops
            subject.note(asked)

    def sample(self, request: InferRequest) -> _UnderWay | None:
        """A note of a request with many answers."""
        subject = current()
        return None if subject is None else _UnderWay(subject, request, self._now_ns)

    def flush(self) -> None:
        """Send what waits; returns when that was tried."""
        self._outlet.flush()

    def close(self) -> None:
        """Send the rest, or what can be sent of it soon."""
        self._outlet.close()

    def _kept_for(self, subject: Subject, code: Code, ended_ns: int) -> str:
        """Why a request is traced; empty if it is not. Counts it."""
        sampling, asked = self._sampling, subject.asked
        sampler = sampling.sampler(asked[0][0]) if sampling.own and asked else sampling.common
        if not sampler.is_on:
            return ""
        settings, parent = sampler.settings, subject.parent
        if parent is not None and settings.parent_based:
            if parent.sampled:
                return "parent"
        elif sampler.takes():
            return "rate"
        if code and code is not Code.CANCELLED:
            why = "error"
        elif 0 < settings.slow_ns <= ended_ns - subject.started_ns:
            why = "slow"  # perhaps its caller left because of that
        else:
            return ""
        return why if self._besides.takes(ended_ns) else ""


@dataclass(slots=True)
class _UnderWay:
    """A request with many answers; see `tracing.UnderWay`."""

    subject: Subject
    request: InferRequest
    now_ns: Callable[[], int]
    started_ns: int = field(init=False)
    stops: Sequence[Stop] = field(init=False)

    def __post_init__(self) -> None:
        self.started_ns, self.stops = self.now_ns(), listen()

    def done(
        self, response: InferResponse | None, version: int, error: BaseException | None = None
    ) -> None:
        failure = None if error is None else said_of(error)
        request, times = self.request, (self.started_ns, self.now_ns())
        self.subject.note(
            (request.model, version, request.id, times, None, None, failure, self.stops)
        )


class _Allowance:
    """So many in each second."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = -1
        self._taken = 0

    def takes(self, now_ns: int) -> bool:
        if now_ns // _S != self._second:
            self._second, self._taken = now_ns // _S, 0
        self._taken += 1
        return self._taken <= self._per_second


def said_of(error: BaseException) -> str:
    """What spans say of a failure: what its caller was told, or of a bug its kind alone."""
    return error.message if isinstance(error, ServeError) else type(error).__name__
