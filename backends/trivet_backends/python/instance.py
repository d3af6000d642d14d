"""One instance: its thread talks to its process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trivet.backend.contract import Answer, Batch, Rows, Sender
from trivet.backend.stacked import Stacked
from trivet.config import ModelConfig
from trivet.errors import CallerLeft, EngineFailed, InstanceDied, ServeError
from trivet_backends.python.answers import Checker, ModelFailed
from trivet_backends.python.calls import Calls
from trivet_backends.python.frames import Kind, Named, Reader, Unreadable, Writer, prepared
from trivet_backends.python.process import Process

Release = Callable[[], None]


class OwnProcess:
    """What there is to know of an instance's process, as `ProcessInstance` asks for it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def ended_fd(self) -> int:
        return self._process.ended_fd

    def how_it_ended(self) -> str:
        return self._process.how_it_ended()

    def end(self, why: str) -> None:
        self._process.end(why)


class PythonInstance(OwnProcess):
    """Sends all requests of a batch at once; the code answers each by itself."""

    def __init__(self, talk: Talk, release: Release) -> None:
        """release: called once, when the process is closed."""
        super().__init__(talk.process)
        self._talk = talk
        self._release: Release | None = release

    def execute(self, batch: Batch) -> list[Answer | ServeError]:
        answers = self._talk.execute(batch.requests, batch)
        batch.computed_ns = batch.now_ns()
        return answers

    def close(self) -> None:
        self._talk.close()
        if self._release is not None:
            self._release()
            self._release = None


class PythonStream(PythonInstance):
    """An instance of a decoupled model."""

    def stream(self, request: Rows, answers: Sender) -> None:
        self._talk.stream(request, answers)


class PythonStacked(OwnProcess, Stacked):
    """An instance whose code gets one array per input with all rows of a batch."""

    def __init__(self, talk: Talk, config: ModelConfig, release: Release) -> None:
        OwnProcess.__init__(self, talk.process)
        Stacked.__init__(self, self._run_all, config, PythonInstance(talk, release).close)
        self._talk = talk

    def _run_all(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        (answer,) = self._talk.execute([Rows(inputs)])
        if isinstance(answer, ServeError):
            raise answer
        return answer.outputs


class Talk:
    """Messages to and from one process that is started."""

    def __init__(self, process: Process, config: ModelConfig, calls: Calls) -> None:
        self.process = self._process = process
        self._checker = Checker(config)
        self._datatypes = {spec.name: spec.datatype for spec in config.inputs}
        self._outputs = tuple(spec.name for spec in config.outputs)
        self._calls = calls

    def execute(
        self, requests: Sequence[Rows], batch: Batch | None = None
    ) -> list[Answer | ServeError]:
        """The answers, in order. Raises ModelFailed if the code failed on all, InstanceDied.

        batch: stamped when the requests are on their way.
        """
        message = self._message(requests)
        self._begin(requests)
        try:
            self._process.send(message)
            if batch is not None:
                batch.merged_ns = batch.now_ns()
            return self._answers(self._next(), requests)
        finally:
            self._process.end_watch()

    def stream(self, request: Rows, answers: Sender) -> None:
        """Pass the answers on as they come. Raises what the code failed with, CallerLeft once the
        code has heard that the caller left, InstanceDied.
        """
        message = self._message([request])
        self._begin([request], answers.is_cancelled)
        failed: ServeError | None = None
        try:
            self._process.send(message)
            while (told := self._next()).kind is Kind.SENT:
                if failed is None:
                    failed = self._pass_on(told, answers)
            if told.kind is not Kind.DONE:
                failed = failed or self._failure(told)
        finally:
            self._process.end_watch()
        if failed is not None:
            raise failed

    def close(self) -> None:
        self._process.close()

    def _begin(self, requests: Sequence[Rows], has_left: Callable[[], bool] | None = None) -> None:
        if not self._process.is_alive:
            raise InstanceDied("its process had ended before", idle=True)
        self._process.begin_watch(
            [has_left] if has_left else [request.is_cancelled for request in requests]
        )

    def _message(self, requests: Sequence[Rows]) -> Writer:
        message = Writer(Kind.EXECUTE)
        message.number(len(requests))
        for request in requests:
            message.text(request.id)
            message.text("\n".join(request.outputs or self._outputs))
            message.json(request.parameters)
            message.tensors(
                [
                    prepared(name, Named(self._datatypes[name], array))
                    for name, array in request.inputs.items()
                ]
            )
        return message

    def _next(self) -> Reader:
        """The next message that is no call of the code's to another model."""
        while (message := self._process.receive()).kind is Kind.CALL:
            try:
                self._calls.begin(message)
            except Unreadable as error:
                raise self._process.damaged(str(error)) from error
        return message

    def _answers(self, message: Reader, requests: Sequence[Rows]) -> list[Answer | ServeError]:
        if message.kind is not Kind.ANSWERS:
            raise self._failure(message)
        try:
            if (count := message.number()) != len(requests):
                raise Unreadable(f"{count} answers to {len(requests)} requests")
            return [self._checker.answer(message, request.outputs) for request in requests]
        except Unreadable as error:
            raise self._process.damaged(str(error)) from error

    def _pass_on(self, message: Reader, answers: Sender) -> ServeError | None:
        """Send one answer of a stream; returns what ends the stream, if anything does."""
        try:
            final = bool(message.number())
            answer = self._checker.answer(message, None)
        except Unreadable as error:
            raise self._process.damaged(str(error)) from error
        if isinstance(answer, ModelFailed):
            return answer
        try:
            answers.send(answer, final=final)
        except CallerLeft as left:
            self._process.look()
            return left
        return None

    def _failure(self, message: Reader) -> EngineFailed:
        """What a message says in the place of answers."""
        if message.kind is not Kind.FAILED:
            return self._process.damaged(f"a message of kind {message.kind.name}")
        try:
            code = message.number()
            return ModelFailed(message.text(), code)
        except Unreadable as error:
            return self._process.damaged(str(error))
