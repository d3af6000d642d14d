"""What a call can fail with: one class per gRPC status, all made here.

`except NotFound` catches one status, `except TrivetError` all of them. A request that cannot be
written down at all (a numpy dtype without a name on the wire) is refused with the same classes
before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from trivet_protos.generated.rpc_error_details_pb2 import RetryInfo
from trivet_protos.generated.rpc_status_pb2 import Status


class TrivetError(Exception):
    """A call failed. `code` is the gRPC status, `message` names the cause and the cure.

    `retry_after_s`: seconds to wait before trying again, where an overloaded server told them.
    """

    def __init__(
        self, code: grpc.StatusCode, message: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(code, message, retry_after_s)  # all, so that a pickled error comes whole
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class Cancelled(TrivetError):
    """The call was cancelled at the other end."""


class Unknown(TrivetError):
    """The server failed without saying how."""


class InvalidArgument(TrivetError):
    """The request itself is wrong; sending it again cannot help."""


class DeadlineExceeded(TrivetError):
    """The answer did not come within the timeout."""


class NotFound(TrivetError):
    """No such model, or no ready version of it."""


class AlreadyExists(TrivetError):
    """What was to be made is there already."""


class PermissionDenied(TrivetError):
    """The caller may not do this."""


class ResourceExhausted(TrivetError):
    """A limit was passed, most often of a message's size."""


class FailedPrecondition(TrivetError):
    """The server's state does not allow this."""


class Aborted(TrivetError):
    """The server gave the call up halfway."""


class OutOfRange(TrivetError):
    """A value lies outside the valid range."""


class Unimplemented(TrivetError):
    """The server does not offer this."""


class Internal(TrivetError):
    """The model, the server or its answer is broken."""


class Unavailable(TrivetError):
    """Not now: no server there, the model is loading or draining, or its queue is full. Retry."""


class DataLoss(TrivetError):
    """Data was lost for good."""


class Unauthenticated(TrivetError):
    """The call carries no valid credentials."""


_CLASSES: Mapping[grpc.StatusCode, type[TrivetError]] = {
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNKNOWN: Unknown,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.INTERNAL: Internal,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DATA_LOSS: DataLoss,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}

# The trailer in which a server tells more than status and text.
_STATUS_DETAILS = "grpc-status-details-bin"

# How grpc begins the status text it makes up itself when nobody listens.
_NO_CONNECTION = "failed to connect to all addresses"
# All that grpc says when its own clock ran out.
_NO_TIME = "Deadline Exceeded"


def error_of(
    code: grpc.StatusCode, message: str, retry_after_s: float | None = None
) -> TrivetError:
    """The error of a status, as an instance of the status's own class."""
    return _CLASSES.get(code, TrivetError)(code, message, retry_after_s)


def invalid(message: str) -> TrivetError:
    """The error of a request that cannot be sent."""
    return error_of(grpc.StatusCode.INVALID_ARGUMENT, message)


def broken(message: str) -> TrivetError:
    """The error of an answer that cannot be understood."""
    return error_of(grpc.StatusCode.INTERNAL, message)


def code_of(number: int) -> grpc.StatusCode:
    """The status behind its number; UNKNOWN for a number gRPC does not have."""
    return _BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)


def error_from_rpc(error: grpc.RpcError, address: str) -> TrivetError:
    """The error behind what grpc raised. `address` is named where no server answers."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return error_of(grpc.StatusCode.UNKNOWN, str(error))
    told = retry_after_s(error.trailing_metadata())
    return error_from_status(error.code(), error.details() or "", address, told)


def retry_after_s(trailers: Iterable[tuple[str, str | bytes]] | None) -> float | None:
    """Seconds to wait before a retry, as google.rpc.RetryInfo tells them; None if nobody did."""
    for name, value in trailers or ():
        if name == _STATUS_DETAILS and isinstance(value, bytes):
            return _retry_delay_s(value)
    return None


def _retry_delay_s(details: bytes) -> float | None:
    retry = RetryInfo()
    try:
        for detail in Status.FromString(details).details:
            if detail.Unpack(retry):
                return retry.retry_delay.ToNanoseconds() / 1e9
    except DecodeError:  # from a server that means something else by this trailer
        pass
    return None


def error_from_status(
    code: grpc.StatusCode, message: str, address: str, retry_after_s: float | None = None
) -> TrivetError:
    """The error behind a call's status. grpc's own bare words are given a cure."""
    if code is grpc.StatusCode.UNAVAILABLE and message.startswith(_NO_CONNECTION):
        return error_of(
            code,
            f"no server answers at {address}; start one with `trivet serve`, or mend the address "
            f"({message})",
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and message == _NO_TIME:
        return error_of(
            code, f"{address} did not answer within the timeout; retry, or allow more time"
        )
    return error_of(code, message or code.name, retry_after_s)
