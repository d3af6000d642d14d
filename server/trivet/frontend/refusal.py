"""Turning whatever went wrong into the error a caller is shown."""

from __future__ import annotations

import logging
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from trivet.errors import EngineFailed, InvalidInput, ServeError

log = logging.getLogger("trivet.frontend")

_M = TypeVar("_M", bound=Message)


def parse(kind: type[_M], message: bytes) -> _M:
    """Read a message. Raises InvalidInput for bytes that are none of this kind."""
    try:
        return kind.FromString(message)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise InvalidInput(
            f"the {len(message)} bytes received are no {name} message (or a string in it is not"
            " UTF-8); generate the client from this server's .proto files, or ask its reflection"
        ) from None


def with_prefix(prefix: str, error: ServeError) -> ServeError:
    """The same failure, its text begun with where it happened."""
    prefixed = ServeError(prefix + error.message)
    prefixed.code = error.code
    prefixed.retry_after_s = error.retry_after_s
    return prefixed


def refusal(error: Exception, where: str) -> ServeError:
    """What a caller is told of a failure.

    A ServeError speaks for itself. Anything else is a bug: its traceback goes to the log, and its
    text, which may hold paths or other people's data, stays here.
    where: what failed, e.g. "ModelInfer".
    """
    if isinstance(error, ServeError):
        return error
    log.error("internal_error", exc_info=error, extra={"where": where})
    return ServeError(f"{where}: internal error; the server's log has the details")


def infer_refusal(error: Exception, request_id: str, model: str) -> ServeError:
    """What the caller of an inference is told: begins with the request's id, as Triton's texts do.

    NotFound, Unavailable and the like say nothing about the request itself and stay as they are.
    """
    failure = refusal(error, f"model '{model}'")
    if isinstance(error, ServeError) and not isinstance(error, InvalidInput | EngineFailed):
        return failure
    return with_prefix(f"[request id: {request_id or '<id_unknown>'}] ", failure)
