"""The engine's own error texts, made fit to be shown to a client."""

from __future__ import annotations

import re
from pathlib import Path

_LONGEST = 400  # characters

_NOISE = re.compile(
    # Where in the engine's source it happened, and the condition that did not hold.
    r"Exception from \S+:\d+:"
    r"|Check '.*?' failed at \S+:\d+:"
    r"|FrontEnd API failed with \w+:"
    r"|\[\s*(?:GENERAL_ERROR|NOT_FOUND|PARAMETER_MISMATCH|NOT_IMPLEMENTED)\s*\]"
    r"|\(?\S*/\S+\.(?:h|hpp|cc|cpp):\d+\)?:?"
)
_TRACE = re.compile(r"\s*Stack ?trace:.*", re.IGNORECASE | re.DOTALL)


def plain_text(error: Exception, folder: Path) -> str:
    """The cause an engine's exception tells of, in one line.

    folder: the artifact's; its path is taken out. Source positions and stack traces go too.
    """
    message = _NOISE.sub(" ", _TRACE.sub("", str(error)))
    for path in (folder, folder.resolve()):
        message = message.replace(f"{path}/", "").replace(str(path), "")
    return " ".join(message.split())[:_LONGEST].strip(" :") or type(error).__name__
