"""trivet.v1.TextService: text in, answers out.

Every text becomes a request of its own to a pipeline model, so that it is batched with everybody
else's texts of like length.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from trivet.errors import InvalidInput
from trivet.frontend.concurrency import MAX_IN_FLIGHT, answer_all, answer_stream
from trivet.frontend.limits import Limits
from trivet.frontend.method import Answers, BidiStream, Call, Methods, Unary
from trivet.frontend.refusal import parse, refusal, with_prefix
from trivet.frontend.text_tasks import EMBED, FILL_MASK, TEXT, R, Task, fill_cost
from trivet.model.model import Model
from trivet.repository.registry import Registry
from trivet.request import InferRequest, Parameters
from trivet.telemetry.tracing import Tracer
from trivet_protos.generated import text_pb2 as pb

_SERVICE = "/trivet.v1.TextService/"
_TOKENIZERS = "tokenizers"  # the backend whose time is told as tokenize_us
_DEFAULT_TOP_K = 5
_FIELDS_BESIDE_TEXTS = 16

Asked = pb.FillMaskRequest | pb.EmbedRequest
AskedOne = pb.FillMaskStreamRequest | pb.EmbedStreamRequest
_Many = TypeVar("_Many", pb.FillMaskRequest, pb.EmbedRequest)
AnswerOne = pb.FillMaskStreamResponse | pb.EmbedStreamResponse


class Text:
    """Turns texts into requests, and answers into results."""

    def __init__(
        self,
        registry: Registry,
        draining: asyncio.Event,
        tracer: Tracer,
        limits: Limits,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        """max_in_flight: texts of one call that are being answered at the same time."""
        self._registry = registry
        self._draining = draining
        self._tracer = tracer
        self._limits = limits
        self._max_in_flight = max_in_flight
        self._tokenizers: WeakKeyDictionary[Model, frozenset[str]] = WeakKeyDictionary()

    def methods(self) -> Methods:
        return {
            f"{_SERVICE}FillMask": Unary(self.fill_mask),
            f"{_SERVICE}Embed": Unary(self.embed),
            f"{_SERVICE}FillMaskStream": BidiStream(self.fill_mask_stream),
            f"{_SERVICE}EmbedStream": BidiStream(self.embed_stream),
        }

    async def fill_mask(self, message: bytes, call: Call) -> bytes:
        asked = self._read(pb.FillMaskRequest, message)
        answer = pb.FillMaskResponse(model_name=asked.model or FILL_MASK.default_model)
        parameters = _mask_parameters(asked)
        answer.model_version = await self._all(FILL_MASK, asked, answer.results.add, parameters)
        return answer.SerializeToString()

    async def embed(self, message: bytes, call: Call) -> bytes:
        asked = self._read(pb.EmbedRequest, message)
        answer = pb.EmbedResponse(model_name=asked.model or EMBED.default_model)
        parameters = {"truncate": asked.truncate}
        answer.model_version = await self._all(EMBED, asked, answer.results.add, parameters)
        return answer.SerializeToString()

    def fill_mask_stream(self, messages: AsyncIterator[bytes], call: Call) -> Answers:
        async def answer(message: bytes) -> bytes:
            answer = pb.FillMaskStreamResponse()
            try:
                asked = parse(pb.FillMaskStreamRequest, message)
                await self._one(FILL_MASK, asked, answer, answer.result, _mask_parameters(asked))
            except Exception as error:
                _fill_error(answer.error, error, FILL_MASK.name)
            return answer.SerializeToString()

        return self._stream(messages, answer)

    def embed_stream(self, messages: AsyncIterator[bytes], call: Call) -> Answers:
        async def answer(message: bytes) -> bytes:
            answer = pb.EmbedStreamResponse()
            try:
                asked = parse(pb.EmbedStreamRequest, message)
                parameters = {"truncate": asked.truncate}
                await self._one(EMBED, asked, answer, answer.result, parameters)
            except Exception as error:
                _fill_error(answer.error, error, EMBED.name)
            return answer.SerializeToString()

        return self._stream(messages, answer)

    def _read(self, kind: type[_Many], message: bytes) -> _Many:
        """A call of many texts. Raises InvalidInput also for too many."""
        asked = parse(kind, message, self._limits.max_bytes_elements + _FIELDS_BESIDE_TEXTS)
        self._limits.check_texts(len(asked.texts), "")
        self._limits.check_name(asked.model, "a model's name", "")
        return asked

    async def _all(
        self, task: Task[R], asked: Asked, add: Callable[[], R], parameters: Parameters
    ) -> int:
        """Answer every text of a call into a result made by `add`; return the version that did."""
        if not asked.texts:
            raise InvalidInput(f"{task.name}: texts is empty; send at least one text")
        name, version = asked.model or task.default_model, _version(asked)
        with self._registry.acquire(name, version) as model:
            task.check(model.config)
            results = [add() for _ in asked.texts]

            async def answer(index: int, text: str) -> None:
                try:
                    await self._answer(task, model, text, "", parameters, results[index])
                except Exception as error:
                    where = f"texts[{index}]: "
                    raise with_prefix(where, refusal(error, f"model '{name}'")) from None

            await answer_all(asked.texts, answer, self._max_in_flight)
            return model.version

    async def _one(
        self, task: Task[R], asked: AskedOne, answer: AnswerOne, result: R, parameters: Parameters
    ) -> None:
        """Answer one text of a stream."""
        self._limits.check_name(asked.id, "a request's id", "")
        self._limits.check_name(asked.model, "a model's name", "")
        answer.id = asked.id
        answer.model_name = asked.model or task.default_model
        with self._registry.acquire(answer.model_name, _version(asked)) as model:
            answer.model_version = model.version
            task.check(model.config)
            await self._answer(task, model, asked.text, asked.id, parameters, result)

    async def _answer(
        self,
        task: Task[R],
        model: Model,
        text: str,
        request_id: str,
        parameters: Parameters,
        result: R,
    ) -> None:
        response = await self._tracer.infer(
            model,
            InferRequest(
                model=model.config.name,
                version=model.version,
                id=request_id,
                inputs={TEXT: np.array([[text.encode()]], dtype=object)},
                outputs=tuple(task.outputs),
                parameters=parameters,
            ),
        )
        task.fill(result, response.outputs)
        fill_cost(result.cost, response, self._tokenizers_of(model))

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

    def _stream(
        self,
        messages: AsyncIterator[bytes],
        answer: Callable[[bytes], Coroutine[Any, Any, bytes]],
    ) -> Answers:
        return answer_stream(
            messages,
            answer,
            in_order=False,
            draining=self._draining,
            limit=self._max_in_flight,
        )


def _version(asked: Asked | AskedOne) -> int | None:
    if asked.version < 0:
        raise InvalidInput(
            f"version {asked.version} is no positive integer; send one such as 1, or 0 for the"
            " latest"
        )
    return asked.version or None


def _mask_parameters(asked: pb.FillMaskRequest | pb.FillMaskStreamRequest) -> Parameters:
    return {"top_k": asked.top_k or _DEFAULT_TOP_K, "truncate": asked.truncate}


def _fill_error(target: pb.Error, error: Exception, where: str) -> None:
    failure = refusal(error, where)
    target.code = failure.code
    target.message = failure.message
