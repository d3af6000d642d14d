"""trivet.v1.TextService: text in, answers out.

Every text becomes a request of its own to a pipeline model, so that it is batched with everybody
else's texts of like length. What the tasks are is in `text_tasks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from trivet.errors import InvalidInput
from trivet.frontend.admission import Admission
from trivet.frontend.ahead.offering import known_of
from trivet.frontend.concurrency import answer_stream
from trivet.frontend.counted import messages_of
from trivet.frontend.limits import Limits
from trivet.frontend.method import Answers, BidiStream, Call, Method, Methods, Unary
from trivet.frontend.refusal import parse, refusal, with_prefix
from trivet.frontend.text_tasks.cost import fill_cost
from trivet.frontend.text_tasks.table import TASKS
from trivet.frontend.text_tasks.task import SERVICE, I, R, Task
from trivet.model.model import Model
from trivet.repository.registry import Registry
from trivet.request import InferRequest, InferResponse, Known, Parameters, Tensors
from trivet.scheduling.labelling.embedding import makers_of
from trivet.scheduling.labelling.vectors import Shelf, Vectors
from trivet.scheduling.many import MAX_IN_FLIGHT, answer_all
from trivet.telemetry.calls import Calls
from trivet.telemetry.tracing import Tracer
from trivet_protos.generated import text_pb2 as pb

_TOKENIZERS = "tokenizers"  # the backend whose time is told as tokenize_us
_FIELDS_BESIDE_ITEMS = 16


class Text:
    """Turns texts into requests, and answers into results."""

    def __init__(
        self,
        registry: Registry,
        draining: asyncio.Event,
        tracer: Tracer,
        limits: Limits,
        max_in_flight: int = MAX_IN_FLIGHT,
        calls: Calls | None = None,
        vectors: Vectors | None = None,
        admission: Admission | None = None,
    ) -> None:
        """max_in_flight: texts of one call that are being answered at the same time.

        calls: where the messages of streams are counted. vectors: where those are kept that come
        again; None for a place of its own. admission: of the messages of streams.
        """
        self._registry = registry
        self._draining = draining
        self._tracer = tracer
        self._limits = limits
        self._max_in_flight = max_in_flight
        self._kinds = {task.name: messages_of(calls, task.name) for task in TASKS}
        self._vectors = Vectors() if vectors is None else vectors
        self._admission = admission or Admission(registry)
        self._tokenizers: WeakKeyDictionary[Model, frozenset[str]] = WeakKeyDictionary()

    def methods(self) -> Methods:
        """Two of each task: a call of many items, and a stream."""
        table: dict[str, Method] = {}
        for task in TASKS:
            table[f"{SERVICE}{task.name}"] = Unary(partial(self._many, task))
            table[f"{SERVICE}{task.name}Stream"] = BidiStream(partial(self._stream, task))
        return table

    async def _many(self, task: Task[Any, Any], message: bytes, call: Call) -> bytes:
        asked, items = self._read(task, message)
        answer = task.messages.response(model_name=asked.model or task.default_model)
        known = known_of(message)
        answer.model_version = await self._all(task, asked, items, answer.results.add, known)
        return bytes(answer.SerializeToString())

    def _stream(self, task: Task[Any, Any], messages: AsyncIterator[bytes], call: Call) -> Answers:
        kind = self._kinds[task.name]

        async def answer(message: bytes) -> bytes:
            answer = task.messages.stream_response()
            with kind.one() as one:
                try:
                    asked = parse(task.messages.stream_request, message)
                    await self._one(task, asked, message, answer)
                except Exception as error:
                    _fill_error(answer.error, error, task.name)
                    one.failed(error)
            return bytes(answer.SerializeToString())

        return answer_stream(
            messages,
            answer,
            in_order=False,
            draining=self._draining,
            limit=self._max_in_flight,
            unread=self._admission.unread,
        )

    def _read(self, task: Task[I, R], message: bytes) -> tuple[Any, Sequence[I]]:
        """A call of many items. Raises InvalidInput also for none, and for too many."""
        most = self._limits.max_bytes_elements * task.fields_per_item + _FIELDS_BESIDE_ITEMS
        asked = parse(task.messages.request, message, most, task.inside)
        items = task.items(asked)
        self._limits.check_texts(len(items), "")
        self._limits.check_name(asked.model, "a model's name", "")
        if not items:
            one = task.field.removesuffix("s")
            raise InvalidInput(f"{task.name}: {task.field} is empty; send at least one {one}")
        return asked, items

    async def _all(
        self,
        task: Task[I, R],
        asked: Any,
        items: Sequence[I],
        add: Callable[[], R],
        known: Known | None,
    ) -> int:
        """Answer every item of a call into a result made by `add`; return the version that did."""
        name, version = asked.model or task.default_model, _version(asked.version)
        with self._registry.acquire(name, version) as model:
            task.check(model.config, asked)
            asking = self._asking(model, "", known)
            results = [add() for _ in items]

            async def answer(index: int, item: I) -> None:
                try:
                    await task.answer(asking, item, asked, results[index])
                except Exception as error:
                    where = f"{task.field}[{index}]: "
                    raise with_prefix(where, refusal(error, f"model '{name}'")) from None

            await answer_all(items, answer, self._max_in_flight)
            return model.version

    async def _one(self, task: Task[Any, Any], asked: Any, message: bytes, answer: Any) -> None:
        """Answer one item of a stream into the result of `answer`."""
        self._limits.check_name(asked.id, "a request's id", "")
        self._limits.check_name(asked.model, "a model's name", "")
        answer.id = asked.id
        answer.model_name = asked.model or task.default_model
        with (
            self._admission.let_in(answer.model_name, len(message)),
            self._registry.acquire(answer.model_name, _version(asked.version)) as model,
        ):
            answer.model_version = model.version
            task.check(model.config, asked)
            asking = self._asking(model, asked.id, known_of(message))
            await task.answer(asking, task.item(asked), asked, answer.result)

    def _asking(self, model: Model, request_id: str, known: Known | None) -> _Asking:
        tokenizers = self._tokenizers_of(model)
        shelf = partial(self._shelf_of, model)
        return _Asking(self._tracer, model, request_id, tokenizers, shelf, known)

    def _shelf_of(self, model: Model) -> Shelf:
        return self._vectors.shelf(makers_of(model, self._registry))

    def _tokenizers_of(self, model: Model) -> frozenset[str]:
        """Which members of a pipeline make tokens; looked up once per version."""
        if (known := self._tokenizers.get(model)) is not None:
            return known
        names = {step.model: step.version for step in model.config.steps} or {
            model.config.name: model.version
        }
        found = set()
        for name, version in names.items():
            with self._registry.acquire(name, version) as member:
                if member.config.backend == _TOKENIZERS:
                    found.add(name)
        return self._tokenizers.setdefault(model, frozenset(found))


class _Asking:
    """See `text_tasks.task.Asking`."""

    def __init__(
        self,
        tracer: Tracer,
        model: Model,
        request_id: str,
        tokenizers: frozenset[str],
        shelf: Callable[[], Shelf],
        known: Known | None,
    ) -> None:
        self._tracer = tracer
        self._model = model
        self._request_id = request_id
        self._tokenizers = tokenizers
        self._known = known
        self.shelf = shelf

    async def infer(
        self, inputs: Tensors, outputs: Sequence[str], parameters: Parameters
    ) -> InferResponse:
        model = self._model
        request = InferRequest(
            model=model.config.name,
            version=model.version,
            id=self._request_id,
            inputs=inputs,
            outputs=tuple(outputs),
            parameters=parameters,
            known=self._known,
        )
        return await self._tracer.infer(model, request)

    def fill_cost(self, cost: pb.Cost, response: InferResponse) -> None:
        fill_cost(cost, response, self._tokenizers)


def _version(asked: int) -> int | None:
    if asked < 0:
        raise InvalidInput(
            f"version {asked} is no positive integer; send one such as 1, or 0 for the latest"
        )
    return asked or None


def _fill_error(target: pb.Error, error: Exception, where: str) -> None:
    failure = refusal(error, where)
    target.code = failure.code
    target.message = failure.message
