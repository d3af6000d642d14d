"""Runs a `TritonPythonModel`: its execute gets all requests of a batch."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from trivet_backends.python.child.answering import Answered, Asked, answers, asked, failed, sent
from trivet_backends.python.child.channel import Channel
from trivet_backends.python.child.errors import TritonModelException
from trivet_backends.python.child.request import (
    InferenceRequest,
    InferenceResponse,
    InferenceResponseSender,
    Pass,
)
from trivet_backends.python.frames import Kind, Reader, Writer


class TritonForm:
    """One instance of the model."""

    def __init__(self, model: type, args: dict[str, str], channel: Channel, file: Path) -> None:
        """args: of initialize, as Triton gives them. Raises what the model raises."""
        self._channel = channel
        self._file = file
        self._loop: asyncio.AbstractEventLoop | None = None
        self._model = model()
        self._call("initialize", args)

    def close(self) -> None:
        self._call("finalize")

    def execute(self, message: Reader) -> None:
        """Answer a batch with one message."""
        batch = list(asked(message))
        given: list[Answered | None] = [None] * len(batch)
        over: SimpleQueue[int] = SimpleQueue()

        def keep(place: int, response: InferenceResponse, final: bool) -> None:
            if not final:
                raise TritonModelException(
                    "a model that is not decoupled sends its one answer with the FINAL flag"
                )
            given[place] = response

        requests = [self._request(one, partial(keep, one.place), over) for one in batch]
        try:
            returned = _checked(self._run(requests), requests)
        except BaseException as error:
            _give_up(requests)
            self._channel.send(failed(error, self._file))
            return
        waiting = {place for place, answer in enumerate(returned) if answer is None}
        del requests  # a sender that the model has let go of is over
        while waiting:
            waiting.discard(over.get())
        nothing = TritonModelException("the model let go of the request without an answer")
        told = [one or other or nothing for one, other in zip(returned, given, strict=True)]
        self._channel.send(answers(told, self._file))

    def stream(self, message: Reader) -> None:
        """Let the model answer one request as often as it likes; ends when nothing more comes."""
        over: SimpleQueue[int] = SimpleQueue()

        def pass_on(response: InferenceResponse, final: bool) -> None:
            self._channel.send(sent(response, self._file, final=final))

        requests = [self._request(one, pass_on, over) for one in asked(message)]
        try:
            if self._run(requests) is not None:
                raise TritonModelException(
                    "execute of a decoupled model returns None; send answers through"
                    " get_response_sender()"
                )
        except BaseException as error:
            _give_up(requests)
            self._channel.send(failed(error, self._file))
            return
        del requests
        over.get()
        self._channel.send(Writer(Kind.DONE))

    def _request(self, one: Asked, pass_on: Pass, over: SimpleQueue[int]) -> InferenceRequest:
        has_left = partial(self._channel.has_left, one.place)
        sender = InferenceResponseSender(pass_on, has_left, partial(over.put, one.place))
        return InferenceRequest.received(
            one.id, one.tensors, one.outputs, one.parameters, has_left, sender
        )

    def _run(self, requests: list[InferenceRequest]) -> Any:
        returned = self._model.execute(requests)
        if not inspect.iscoroutine(returned):
            return returned
        self._loop = self._loop or asyncio.new_event_loop()
        return self._loop.run_until_complete(returned)

    def _call(self, name: str, *args: object) -> None:
        method: Callable[..., object] | None = getattr(self._model, name, None)
        if method is not None:
            method(*args)


def _checked(returned: Any, requests: list[InferenceRequest]) -> list[InferenceResponse | None]:
    """What execute returned. Raises TritonModelException unless it answers every request."""
    count = len(requests)
    if returned is None:
        returned = [None] * count
    if not isinstance(returned, list | tuple):
        what = f"execute returned a {type(returned).__name__}; return a list of InferenceResponse"
        raise TritonModelException(what)
    if len(returned) != count:
        what = f"execute returned {len(returned)} answers to {count} requests"
        raise TritonModelException(f"{what}; return one for each, in order")
    for answer, request in zip(returned, requests, strict=True):
        if answer is None and not request.sender_was_taken:
            raise TritonModelException("execute returned None in place of an InferenceResponse")
        if answer is not None and not isinstance(answer, InferenceResponse):
            what = f"execute returned a {type(answer).__name__} in place of an InferenceResponse"
            raise TritonModelException(what)
    return list(returned)


def _give_up(requests: list[InferenceRequest]) -> None:
    for request in requests:
        request.get_response_sender().give_up()
