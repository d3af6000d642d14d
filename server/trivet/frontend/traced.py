"""Each call, and each message of a stream, as the subject of spans and of the log.

`traced` wraps the methods that ask models; messages of streams begin and end where they are
counted, so `TracedCalls` stands in for the counters. Neither is there unless spans are made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Protocol

from trivet.clock import Clock
from trivet.errors import Code, ServeError
from trivet.frontend.access_rules import Group, rule_of
from trivet.frontend.method import Answers, BidiStream, Call, Method, Methods, Unary
from trivet.telemetry.calls import MESSAGE, Calls, Kind, Observed, code_of
from trivet.telemetry.subject import Subject, current, make_current
from trivet.telemetry.w3c import TRACERESPONSE, Header


class RequestTracer(Protocol):
    """Who makes spans of requests that are over."""

    on: bool

    def begin(self, name: str, header: Header) -> Subject:
        """What a request is known by."""

    def over(self, subject: Subject, code: Code, message: str = "") -> str:
        """It is over. Returns the traceresponse that its caller is told, or nothing."""


def traced(methods: Methods, tracer: RequestTracer | None) -> Methods:
    """The same methods; a request that a caller's trace speaks of is told its own."""
    if tracer is None:
        return methods
    return {name: _traced(name, method, tracer) for name, method in methods.items()}


def _traced(name: str, method: Method, tracer: RequestTracer) -> Method:
    if rule_of(name).group is not Group.INFERENCE:
        return method
    match method:
        case Unary():
            return _unary(name.lstrip("/"), method, tracer)
        case BidiStream():
            return _stream(name.lstrip("/"), method, tracer)
    return method


def _unary(name: str, method: Unary, tracer: RequestTracer) -> Unary:
    handler = method.handler

    async def answer(message: bytes, call: Call) -> bytes:
        if not tracer.on:
            return await handler(message, call)
        subject = tracer.begin(name, call.header)
        make_current(subject)
        try:
            told = await handler(message, call)
        except BaseException as error:
            code = code_of(error)
            if code is Code.CANCELLED and call.time_left_s == 0:
                code = Code.DEADLINE_EXCEEDED  # the transport cancels what is late
            _tell(call, tracer.over(subject, code, _text(error)))
            raise
        _tell(call, tracer.over(subject, Code.OK))
        return told

    return Unary(answer)


def _stream(name: str, method: BidiStream, tracer: RequestTracer) -> BidiStream:
    def answers(messages: AsyncIterator[bytes], call: Call) -> Answers:
        # Not a request itself: its messages are, and they are answered in tasks of this one.
        make_current(tracer.begin(name, call.header))
        return method.handler(messages, call)

    return BidiStream(answers)


def _tell(call: Call, traceresponse: str) -> None:
    if traceresponse:
        call.set_trailers([(TRACERESPONSE, traceresponse)])


def _text(error: BaseException) -> str:
    return error.message if isinstance(error, ServeError) else type(error).__name__


class TracedCalls(Calls):
    """Counters whose messages are subjects of their own while they are answered."""

    def __init__(self, clock: Clock, tracer: RequestTracer) -> None:
        super().__init__(clock)
        self._tracer = tracer

    def kind(self, task: str, way: str) -> Kind:
        if way == MESSAGE and (task, way) not in self._kinds:
            kind = _TracedKind(task, way, self._clock, self.recent)
            kind.tracer = self._tracer
            self._kinds[task, way] = kind
        return super().kind(task, way)


class _TracedKind(Kind):
    __slots__ = ("tracer",)

    tracer: RequestTracer

    def one(self) -> Observed:
        stream = current()
        if stream is None or not self.tracer.on:
            return super().one()
        return _TracedOne(super().one(), self.tracer, stream, self.now_ns())


class _TracedOne:
    """A message that is counted, as the subject of the task that answers it."""

    __slots__ = ("_counted", "_error", "_stream", "_subject", "_tracer")

    def __init__(
        self, counted: Observed, tracer: RequestTracer, stream: Subject, now_ns: int
    ) -> None:
        self._counted = counted
        self._tracer = tracer
        self._stream = stream
        self._subject = Subject(stream.name, stream.parent, now_ns)
        self._error: BaseException | None = None

    def failed(self, error: BaseException) -> None:
        self._error = error
        self._counted.failed(error)

    def __enter__(self) -> Observed:
        make_current(self._subject)
        self._counted.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._counted.__exit__(kind, error, trace)
        ended = self._error or error
        if ended is None:
            self._tracer.over(self._subject, Code.OK)
        else:
            self._tracer.over(self._subject, code_of(ended), _text(ended))
        self._error = None  # its traceback holds this very frame
        make_current(self._stream)
