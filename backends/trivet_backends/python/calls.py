"""What a model's code asks other models of this server, and what comes of it."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from contextlib import suppress

from trivet.backend.contract import Infer
from trivet.errors import CallerLeft, ServeError, Unimplemented
from trivet.request import InferRequest, InferResponse
from trivet_backends.python.frames import Kind, Named, Reader, Writer, datatype_of, prepared
from trivet_backends.python.process import Process


class Calls:
    """The calls of one process that are under way."""

    def __init__(self, process: Process, infer: Infer | None) -> None:
        """infer: asks a model; None where there is no server around."""
        self._process = process
        self._infer = infer
        self._done: deque[tuple[int, Future[InferResponse]]] = deque()
        process.on_wake(self._answer)

    def begin(self, message: Reader) -> None:
        """Begin the call that a message asks for. Raises Unreadable."""
        number = message.number()
        model, version = message.text(), message.number()
        request_id, outputs = message.text(), message.text()
        parameters = message.json()
        request = InferRequest(
            model=model,
            version=version if version > 0 else None,
            id=request_id,
            outputs=tuple(outputs.split("\n")) if outputs else (),
            parameters=parameters,
            inputs={name: named.array for name, named in message.tensors().items()},
        )
        self._started(request).add_done_callback(lambda done: self._came(number, done))

    def _started(self, request: InferRequest) -> Future[InferResponse]:
        if self._infer is not None:
            return self._infer(request)
        refused: Future[InferResponse] = Future()
        refused.set_exception(Unimplemented("models cannot be asked outside of a server"))
        return refused

    def _came(self, number: int, done: Future[InferResponse]) -> None:
        """In whichever thread ended the call: the instance's own thread is to tell the process."""
        self._done.append((number, done))
        self._process.wake()

    def _answer(self) -> None:
        with suppress(IndexError):
            while True:
                number, done = self._done.popleft()
                self._process.send(_result(number, done))


def _result(number: int, done: Future[InferResponse]) -> Writer:
    message = Writer(Kind.RESULT)
    message.number(number)
    error = CallerLeft("the call was given up") if done.cancelled() else done.exception()
    if error is not None:
        known = error if isinstance(error, ServeError) else ServeError(type(error).__name__)
        message.number(known.code)
        message.text(known.message)
        return message
    answer = done.result()
    message.number(0)
    message.json(dict(answer.parameters))
    message.tensors(
        [prepared(name, Named(datatype_of(array), array)) for name, array in answer.outputs.items()]
    )
    return message
