"""Which requests are traced, and what a trace tells: made of a request's Stages when it is done.

A server that traces nothing asks one attribute per request, `Tracer.on`. What is written is the
TraceFile's business; `otel.tracer` makes spans instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import numpy as np

from trivet.clock import Clock
from trivet.request import InferRequest, InferResponse, Stages, Tensors
from trivet.telemetry.sampling import Sampler, Sampling
from trivet.telemetry.stops import Stop, listen
from trivet.telemetry.trace_file import Record, TraceFile
from trivet.telemetry.trace_settings import TENSORS, TIMESTAMPS, Changes, TraceSettings
from trivet_protos import wire


class Traceable(Protocol):
    """A version of a model, as a tracer sees it."""

    version: int

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request."""


class UnderWay(Protocol):
    """A traced request that is under way."""

    def done(
        self, response: InferResponse | None, version: int, error: BaseException | None = None
    ) -> None:
        """The request is over. response: None if it failed, or had many answers."""


@dataclass(slots=True)
class Trace:
    """One that is written to a file."""

    tracer: Tracer
    sampler: Sampler
    request: InferRequest
    started_ns: int
    stops: Sequence[Stop]  # where it was when it failed

    def done(
        self, response: InferResponse | None, version: int, error: BaseException | None = None
    ) -> None:
        self.tracer.write(self, response, version)


class Tracer:
    """Samples requests and writes what became of them."""

    def __init__(self, clock: Clock, settings: TraceSettings | None = None) -> None:
        """settings: the operator's, to which a cleared setting goes back."""
        self._clock = clock
        settings = settings or TraceSettings()
        self._sampling = Sampling(settings)
        self._file = TraceFile(settings.file)
        self._ids = count(1)
        self.on = self._sampling.is_on

    def settings(self, model: str = "") -> TraceSettings:
        """What holds for a model, or with an empty name for all without settings of their own."""
        return self._sampling.sampler(model).settings

    def update(self, model: str, changes: Changes) -> None:
        """Change settings. Raises InvalidInput or Unimplemented, and then changes nothing."""
        self._sampling.update(model, changes)
        self.on = self._sampling.is_on

    def infer(self, model: Traceable, request: InferRequest) -> Awaitable[InferResponse]:
        """The model's answer, traced if it is this request's turn. Raises what the model does."""
        return self._traced(model, request) if self.on else model.infer(request)

    async def _traced(self, model: Traceable, request: InferRequest) -> InferResponse:
        trace, response = self.sample(request), None
        try:
            response = await model.infer(request)
            return response
        finally:
            if trace:
                trace.done(response, model.version)

    @contextmanager
    def many(self, model: Traceable, request: InferRequest) -> Iterator[None]:
        """Around a request with many answers: traced if it is its turn."""
        trace, failure = self.sample(request) if self.on else None, None
        try:
            yield
        except BaseException as error:
            failure = error
            raise
        finally:
            if trace:
                trace.done(None, model.version, failure)

    def sample(self, request: InferRequest) -> UnderWay | None:
        """A trace if this request is to have one. Ask only while `on`."""
        sampler = self._sampling.sampler(request.model)
        if not (sampler.is_on and sampler.takes()):
            return None
        return Trace(self, sampler, request, self._clock.now_ns(), listen())

    def write(self, trace: Trace, response: InferResponse | None, version: int) -> None:
        """Write a trace that is done."""
        settings = trace.sampler.settings
        request, number, ended_ns = trace.request, next(self._ids), self._clock.now_ns()
        records: list[Record] = [_head(number, request.model, version, request.id)]
        stays = _stays(request.model, response, trace.stops)
        own = stays.pop(request.model, ())
        if TIMESTAMPS in settings.levels:
            stamps = [("REQUEST_START", trace.started_ns), *own, ("REQUEST_END", ended_ns)]
            records += (_stamp(number, name, ns) for name, ns in stamps)
        if TENSORS in settings.levels:
            records += _tensors(number, "TENSOR_QUEUE_INPUT", request.inputs)
            outputs = response.outputs if response else {}
            records += _tensors(number, "TENSOR_BACKEND_OUTPUT", outputs)
        if TIMESTAMPS in settings.levels:
            for model, stay in stays.items():
                child = next(self._ids)
                records.append(_head(child, model, -1, request.id) | {"parent_id": number})
                records += (_stamp(child, name, ns) for name, ns in stay)
        self._file.write(records, trace.sampler.owner, settings.log_frequency)

    def close(self) -> None:
        """Write what is collected."""
        self._file.close()


def _head(number: int, model: str, version: int, request_id: str) -> Record:
    head: Record = {"id": number, "model_name": model, "model_version": version}
    return head | {"request_id": request_id} if request_id else head


def _stamp(number: int, name: str, ns: int) -> Record:
    return {"id": number, "timestamps": [{"name": name, "ns": ns}]}


Stamps = Sequence[tuple[str, int]]


def _stays(model: str, response: InferResponse | None, stops: Sequence[Stop]) -> dict[str, Stamps]:
    """The stamps of each stay in a model's queue, by model; a pipeline itself has none."""
    if response is None:
        return {stop.model: _stamps_of(stop) for stop in stops}
    stages = response.steps or {model: response.stages}
    return {name: tuple(_stamps(stay)) for name, stay in stages.items()}


def _stamps(stages: Stages) -> Iterator[tuple[str, int]]:
    """When each stage began or ended, on the monotonic clock; nothing if it is not known."""
    if not stages.queued_ns:
        return
    names = ("QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START")
    took = (stages.queue_ns, stages.compute_input_ns, stages.compute_infer_ns)
    ns = stages.queued_ns
    for name, lasted_ns in zip(names, (*took, stages.compute_output_ns), strict=True):
        yield name, ns
        ns += lasted_ns
    yield "COMPUTE_END", ns


def _stamps_of(stop: Stop) -> Stamps:
    """What is known of a request that failed: when it was queued, and when it was taken."""
    taken = [("COMPUTE_START", stop.taken_ns)] if stop.taken_ns else []
    return [("QUEUE_START", stop.queued_ns), *taken]


def _tensors(number: int, activity: str, tensors: Tensors) -> Iterator[Record]:
    for name, array in tensors.items():
        yield {
            "id": number,
            "activity": activity,
            "tensor": {
                "name": name,
                "data": ",".join(map(_value, array.ravel().tolist())),
                "shape": ",".join(map(str, np.shape(array))),
                "dtype": wire.datatype_of(array),
            },
        }


def _value(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
