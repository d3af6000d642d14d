"""What can go wrong, with the gRPC status it is answered with.

A message names the place, what was found and the cure, and is safe to show to a client: no paths
of this machine, no stack traces. Anything raised that is not a `ServeError` is a bug; the frontend
answers it as INTERNAL and logs the traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self


class Code(IntEnum):
    """gRPC status numbers (https://grpc.io/docs/guides/status-codes/), without importing grpc."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ServeError(Exception):
    """A failure with a status number and a text that names the cause and the cure."""

    code: Code = Code.INTERNAL
    retry_after_s: float = 0.0  # what an overload tells its caller; 0: nothing

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def prefixed(self, prefix: str) -> Self:
        """The same failure, its text begun with where it happened."""
        same = type(self).__new__(type(self))  # subclasses are made of other things than a text
        vars(same).update(vars(self))
        same.message = prefix + self.message
        same.args = (same.message,)
        return same


class InvalidInput(ServeError):
    """The request itself is wrong; sending it again cannot help."""

    code = Code.INVALID_ARGUMENT


class NotFound(ServeError):
    """No such model, or no ready version of it."""

    code = Code.NOT_FOUND


class Unavailable(ServeError):
    """Not now: loading, unloading, draining or full. A retry may succeed."""

    code = Code.UNAVAILABLE


class QueueFull(Unavailable):
    """The model's queue holds as many requests as its policy allows."""

    retry_after_s = 0.1  # some batches later

    def __init__(self, model: str, max_size: int) -> None:
        super().__init__(
            f"model '{model}': exceeds maximum queue size of {max_size} requests; retry later"
        )


class Overloaded(Unavailable):
    """As much is under way as the server, or the model, takes."""

    retry_after_s = 0.1


class QueueTimeout(Unavailable):
    """The request waited in its model's queue for as long as it may."""

    retry_after_s = 0.1


class Draining(Unavailable):
    """The server takes leave. What it was asked before is answered."""

    retry_after_s = 1.0  # by then a balancer knows, or a new server is up


class AlreadyExists(ServeError):
    """What was to be made is there already."""

    code = Code.ALREADY_EXISTS


class ResourceExhausted(ServeError):
    """A limit of the server is reached."""

    code = Code.RESOURCE_EXHAUSTED


class Unauthenticated(ServeError):
    """It is not known who calls: no token, or none that is known."""

    code = Code.UNAUTHENTICATED


class PermissionDenied(ServeError):
    """The caller is known, and may not do this."""

    code = Code.PERMISSION_DENIED


class Unimplemented(ServeError):
    """The server does not offer this."""

    code = Code.UNIMPLEMENTED


class DeadlineExceeded(ServeError):
    """The caller's deadline passed before the answer was there."""

    code = Code.DEADLINE_EXCEEDED


class CallerLeft(ServeError):
    """Nobody waits for this request's answers any more."""

    code = Code.CANCELLED


class EngineFailed(ServeError):
    """Model code or its engine raised while it computed."""

    code = Code.INTERNAL


class OutOfMemory(EngineFailed):
    """The engine had not enough memory for a request."""

    code = Code.RESOURCE_EXHAUSTED


class InstanceDied(EngineFailed):
    """An instance cannot run anything any more: its process ended, its device is lost, it hangs.

    Raised by a backend, or told of one to its executor; the server makes another in its place.
    """

    def __init__(self, message: str, *, idle: bool = False) -> None:
        """idle: it was dead before it took the requests at hand, which are not to blame."""
        super().__init__(message)
        self.idle = idle


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a file: where it is, what is wrong, and what to do."""

    where: str  # file and field, e.g. "embed/config.pbtxt: input[0].dims"
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.cure}"


class InvalidConfig(ServeError):
    """A model, checkpoint or setting that cannot be used; carries every fault found."""

    code = Code.INVALID_ARGUMENT

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)
