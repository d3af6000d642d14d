"""Why requests failed, in the words of Triton's nv_inference_request_failure."""

from __future__ import annotations

import asyncio
from enum import IntEnum

from trivet.errors import (
    CallerLeft,
    Code,
    EngineFailed,
    Overloaded,
    QueueFull,
    QueueTimeout,
    ServeError,
)


class Reason(IntEnum):
    """The name is the label's value."""

    REJECTED = 0  # too much was under way, or the request waited in the queue for too long
    CANCELED = 1  # the caller left, or its deadline passed
    BACKEND = 2  # model code or its engine raised
    OTHER = 3  # the request was wrong, or no instance was left


def reason_of(error: BaseException) -> Reason:
    """What a request that ended so is counted as."""
    if isinstance(error, QueueFull | QueueTimeout | Overloaded):
        return Reason.REJECTED
    if isinstance(error, asyncio.CancelledError | GeneratorExit | CallerLeft):
        return Reason.CANCELED
    if isinstance(error, ServeError) and error.code is Code.CANCELLED:
        return Reason.CANCELED
    if isinstance(error, EngineFailed) or not isinstance(error, ServeError):
        return Reason.BACKEND
    return Reason.OTHER
