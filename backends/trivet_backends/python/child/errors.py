"""What model code raises and answers, and how any other error of it is told."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path
from types import TracebackType

_OURS = str(Path(__file__).resolve().parents[1])
_FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s'\"/:]+/)+")

GRPC_INTERNAL = 13  # gRPC's numbers are what travels


class TritonError(Exception):
    """`pb_utils.TritonError`: an answer that is an error. Its text is told to the client."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS = range(7)
    CANCELLED = 7

    _GRPC = (2, 13, 5, 3, 14, 12, 6, 1)

    def __init__(self, message: str = "", code: int = INTERNAL) -> None:
        super().__init__(message)
        self._message = str(message)
        self._code = code

    @classmethod
    def of_grpc(cls, number: int) -> int:
        """The code that stands for a gRPC status."""
        return cls._GRPC.index(number) if number in cls._GRPC else cls.INTERNAL

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code

    @property
    def grpc_code(self) -> int:
        return self._GRPC[self._code] if 0 <= self._code < len(self._GRPC) else GRPC_INTERNAL


class TritonModelException(Exception):
    """`pb_utils.TritonModelException`: what to raise. Its text is told to the client."""

    def message(self) -> str:
        return str(self)


def grpc_code(error: BaseException) -> int:
    return error.grpc_code if isinstance(error, TritonError) else GRPC_INTERNAL


def told(error: BaseException, file: Path) -> str:
    """What a client is told of an error: its own text, and the line of model.py that raised.

    Folders are left out of it. The log gets the traceback, see `log_traceback`.
    """
    text = _FOLDERS.sub("", str(error))
    if isinstance(error, TritonError | TritonModelException):
        return text
    line = line_of(error, file)
    at = f" at line {line}" if line else ""
    return f"{type(error).__name__}{at}: {text}" if text else f"{type(error).__name__}{at}"


def line_of(error: BaseException, file: Path) -> int:
    """The line of the file where an error came from; 0 if it did not."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return (lines[-1] or 0) if lines else 0


def log_traceback(error: BaseException) -> None:
    """Write the traceback to the log, without the frames that called the model's code."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)
    sys.stderr.flush()
