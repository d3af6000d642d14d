"""The engine's own error texts, made fit to be shown to a client."""

from __future__ import annotations

import re
from pathlib import Path

from trivet.errors import EngineFailed, InvalidInput, ServeError

_LONGEST = 400  # characters

_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : "  # the status, twice said
    r"|Load model from .*? failed:"  # our message names the file already
    # Where in the engine's source it happened: file, line, and a C++ function's signature.
    r"|/\S+\.(?:h|cc|cpp):\d+ [^()]*\([^()]*\)(?: const)? ?"
)
_TRACE = re.compile(r"\s*Stack ?trace:.*", re.IGNORECASE | re.DOTALL)


def plain_text(error: Exception, folder: Path) -> str:
    """The cause an engine's exception tells of, in one line.

    folder: the artifact's; its path is taken out. Source positions and stack traces go too.
    """
    message = _NOISE.sub("", _TRACE.sub("", str(error)))
    for path in (folder, folder.resolve()):
        message = message.replace(f"{path}/", "").replace(str(path), "")
    return " ".join(message.split())[:_LONGEST] or type(error).__name__


def refusal(error: Exception, folder: Path) -> ServeError:
    """What a caller is told of a run that failed: whose fault it is, and the engine's own cause.

    The engine says InvalidArgument where values are out of a tensor's bounds, say a token id that
    the vocabulary does not have; those are the caller's.
    """
    cause = plain_text(error, folder)
    if type(error).__name__ == "InvalidArgument":
        return InvalidInput(f"onnxruntime cannot take these inputs: {cause}; correct the values")
    return EngineFailed(f"onnxruntime: {cause}")
