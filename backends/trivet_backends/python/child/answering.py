"""Requests out of messages, and answers into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivet_backends.python.child.errors import grpc_code, log_traceback, told
from trivet_backends.python.child.request import InferenceResponse
from trivet_backends.python.child.tensor import Tensor
from trivet_backends.python.frames import Kind, Reader, Writer

Answered = InferenceResponse | BaseException


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    place: int  # in its batch
    id: str
    outputs: list[str]
    parameters: Mapping[str, Any]
    tensors: list[Tensor]


def asked(message: Reader) -> Iterator[Asked]:
    """The requests of a batch."""
    for place in range(message.number()):
        request_id, outputs, parameters = message.text(), message.text(), message.json()
        tensors = [
            Tensor(name, named.array, named.datatype) for name, named in message.tensors().items()
        ]
        yield Asked(place, request_id, outputs.split("\n"), parameters, tensors)


def answers(given: Sequence[Answered], file: Path) -> Writer:
    """The message with the answers to a batch, in its order."""
    message = Writer(Kind.ANSWERS)
    message.number(len(given))
    for answer in given:
        _write_answer(message, answer, file)
    return message


def sent(answer: Answered, file: Path, *, final: bool) -> Writer:
    """The message with one answer of a stream."""
    message = Writer(Kind.SENT)
    message.number(final)
    _write_answer(message, answer, file)
    return message


def failed(error: BaseException, file: Path) -> Writer:
    """The message that the whole batch failed. Its traceback goes to the log."""
    log_traceback(error)
    message = Writer(Kind.FAILED)
    _write_error(message, error, file)
    return message


def _write_answer(message: Writer, answer: Answered, file: Path) -> None:
    error = answer if isinstance(answer, BaseException) else answer.error()
    tensors = []
    if error is None and isinstance(answer, InferenceResponse):
        try:
            tensors = [tensor.prepared() for tensor in answer.output_tensors()]
        except Exception as raised:  # of this answer only
            error = raised
    if error is not None:
        _write_error(message, error, file)
        return
    assert isinstance(answer, InferenceResponse)
    message.number(0)
    message.json(answer.told)
    message.tensors(tensors)


def _write_error(message: Writer, error: BaseException, file: Path) -> None:
    message.number(grpc_code(error))
    message.text(told(error, file))
