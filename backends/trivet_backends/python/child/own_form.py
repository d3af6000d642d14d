"""Runs a `Model`: load, execute, close; arrays in, arrays out."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trivet_backends.python.child.answering import Answered, Asked, answers, asked, failed, sent
from trivet_backends.python.child.channel import Channel
from trivet_backends.python.child.errors import TritonModelException, log_traceback
from trivet_backends.python.child.model_config import Config
from trivet_backends.python.child.request import InferenceResponse
from trivet_backends.python.child.tensor import Tensor
from trivet_backends.python.frames import Kind, Reader, Writer


@dataclass(frozen=True, slots=True)
class Context:
    """What `load` is given."""

    name: str  # of the model
    version: int
    folder: Path  # the version's
    config: Config  # config.pbtxt, complete, as JSON has it
    instance: str
    device: str  # "cpu" or "cuda:0"


@dataclass(frozen=True, slots=True)
class Request:
    """What `execute` is given beside the inputs, if it takes it."""

    id: str
    parameters: Mapping[str, bool | int | float | str]
    outputs: tuple[str, ...]  # those asked for
    is_cancelled: Callable[[], bool]  # whether nobody waits for the answer any more


class OwnForm:
    """One instance of the model."""

    def __init__(
        self, model: type, context: Context, form: str, channel: Channel, file: Path
    ) -> None:
        """form: as `loading.form_of` tells it. Raises what the model raises."""
        self._channel = channel
        self._file = file
        self._form = form
        self._takes_request = form != "stacked" and _takes_request(model)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._model = model()
        if load := getattr(self._model, "load", None):
            load(context)

    def close(self) -> None:
        if close := getattr(self._model, "close", None):
            close()

    def execute(self, message: Reader) -> None:
        """Answer a batch with one message. All rows came as one request if the form is stacked."""
        batch = list(asked(message))
        if self._form == "each":
            told = [self._answer_or_error(one) for one in batch]
            self._channel.send(answers(told, self._file))
            return
        try:
            told = [self._answer(one) for one in batch]
        except BaseException as error:
            self._channel.send(failed(error, self._file))
            return
        self._channel.send(answers(told, self._file))

    def stream(self, message: Reader) -> None:
        """Send what the model yields for one request, until its caller leaves."""
        try:
            for one in asked(message):
                with closing(self._yielded(self._call(one))) as yielded:
                    self._send_all(yielded, one.place)
        except BaseException as error:
            self._channel.send(failed(error, self._file))
            return
        self._channel.send(Writer(Kind.DONE))

    def _send_all(self, yielded: Iterator[Any], place: int) -> None:
        for outputs in yielded:
            self._channel.send(sent(_response(outputs), self._file, final=False))
            if self._channel.has_left(place):
                return

    def _answer_or_error(self, one: Asked) -> Answered:
        try:
            return self._answer(one)
        except BaseException as error:
            log_traceback(error)
            return error

    def _answer(self, one: Asked) -> Answered:
        return _response(self._call(one))

    def _call(self, one: Asked) -> Any:
        inputs = {tensor.name(): tensor.as_numpy() for tensor in one.tensors}
        if not self._takes_request:
            return self._awaited(self._model.execute(inputs))

        def has_left() -> bool:
            return self._channel.has_left(one.place)

        request = Request(one.id, one.parameters, tuple(one.outputs), has_left)
        return self._awaited(self._model.execute(inputs, request))

    def _awaited(self, returned: Any) -> Any:
        return self._run(returned) if inspect.iscoroutine(returned) else returned

    def _yielded(self, generator: Any) -> Generator[Any, None, None]:
        """What a generator yields, of either kind; it is closed when nobody wants more."""
        if not isinstance(generator, AsyncIterator):
            try:
                yield from generator
            finally:
                generator.close()
            return
        try:
            while True:
                try:
                    yield self._run(generator.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            self._run(generator.aclose())  # type: ignore[attr-defined]

    def _run(self, awaitable: Any) -> Any:
        self._loop = self._loop or asyncio.new_event_loop()
        return self._loop.run_until_complete(awaitable)


def _takes_request(model: type) -> bool:
    return len(inspect.signature(model.execute).parameters) == 3  # type: ignore[attr-defined]


def _response(outputs: Any) -> InferenceResponse:
    """What execute gave, as an answer. Raises TritonModelException if it is no mapping."""
    if not isinstance(outputs, Mapping):
        what = f"execute gave a {type(outputs).__name__}; give a dict of name to array"
        raise TritonModelException(what)
    return InferenceResponse([Tensor(name, np.asarray(array)) for name, array in outputs.items()])
