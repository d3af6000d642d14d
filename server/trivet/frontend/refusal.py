"""Turning whatever went wrong into the error a caller is shown."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from trivet.errors import EngineFailed, InvalidInput, ServeError
from trivet.frontend.unfolding import LOOKED_AT_BYTES, has_more_fields

log = logging.getLogger("trivet.frontend")

_M = TypeVar("_M", bound=Message)

SHOWN_ID = 1024  # characters of a request's id that a refusal repeats
MAX_FIELDS = 10_000  # of a message that no setting limits: a load with its files, settings


def parse(
    kind: type[_M], message: bytes, most: int = MAX_FIELDS, inside: Collection[int] = ()
) -> _M:
    """Read a message.

    most: fields that a large one may have, with those of the messages in its fields `inside`.
    Raises InvalidInput for bytes that are no message of this kind, or one of more fields.
    """
    if len(message) > LOOKED_AT_BYTES and has_more_fields(message, most, inside):
        raise InvalidInput(
            f"the {len(message)} bytes received are more than {most} fields, or none that a client"
            f" writes; no {kind.DESCRIPTOR.full_name} within this server's limits"
            " (trivet serve --help) has as many: split it"
        )
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
    return with_prefix(f"[request id: {request_id[:SHOWN_ID] or '<id_unknown>'}] ", failure)
