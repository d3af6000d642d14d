"""What a caller is told of what an engine raised."""

from __future__ import annotations

import logging

from trivet.backend.exhaustion import is_exhaustion
from trivet.errors import Code, EngineFailed, OutOfMemory, ServeError
from trivet.telemetry.subject import Subject, ids_of

log = logging.getLogger(__name__)


def told_of(error: Exception, model: str, version: int, subject: Subject | None) -> ServeError:
    """The error with the name of the model, which the backend need not know.

    What is no ServeError is a bug, or a machine's limit: it goes to the log with its traceback, its
    text is withheld. subject: of the request.
    """
    name = f"model '{model}'"
    if not isinstance(error, ServeError):
        log.error("model_failed", exc_info=error, extra={"model": model, **ids_of(subject)})
    if _is_inner(error) and is_exhaustion(error):
        said = error.message if isinstance(error, ServeError) else type(error).__name__
        return OutOfMemory(
            f"{name} version {version} had not enough memory for this request ({said}); send fewer"
            " or shorter rows at a time, or lower max_batch_size and the number of instances"
        )
    if not isinstance(error, ServeError):
        return EngineFailed(
            f"{name} version {version} failed on this request ({type(error).__name__}); the"
            " server's log has the details"
        )
    return error if error.message.startswith(name) else error.prefixed(f"{name}: ")


def _is_inner(error: Exception) -> bool:
    """Whether an engine failed by itself, and has not told whose fault it was."""
    return not isinstance(error, ServeError) or error.code is Code.INTERNAL
