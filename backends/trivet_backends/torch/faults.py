"""The engine's own error texts, made fit to be shown to a client."""

from __future__ import annotations

from pathlib import Path

from trivet.errors import EngineFailed, InstanceDied, InvalidInput, ServeError

_LONGEST = 400  # characters
_LOST = ("CUDA error", "device-side assert", "an illegal memory access")
_OF_VALUES = ("index out of range", "Guard failed", "Expected input at")


def plain_text(error: Exception, folder: Path) -> str:
    """The cause an engine's exception tells of, in one line.

    folder: the artifact's; its path is taken out. TorchScript's messages are tracebacks, of source
    code that the caller has not: the last line has the cause.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and "TorchScript" in lines[0]:
        lines = lines[-1:]
    message = " ".join(lines)
    for path in (folder, folder.resolve()):
        message = message.replace(f"{path}/", "").replace(str(path), "")
    first, _, rest = message.partition(": ")
    if first.endswith("Error") and " " not in first:
        message = rest
    return message[:_LONGEST] or type(error).__name__


def refusal(error: Exception, folder: Path) -> ServeError:
    """What a caller is told of a run that failed: whose fault it is, and the engine's own cause.

    Ids that a table does not have, and sizes that an exported model does not take, are the
    caller's. After an error on a GPU, the process can do nothing more there.
    """
    cause = plain_text(error, folder)
    if any(sign in str(error) for sign in _LOST):
        return InstanceDied(f"torch: {cause}")
    if any(sign in cause for sign in _OF_VALUES):
        return InvalidInput(f"torch cannot take these inputs: {cause}; correct the values")
    return EngineFailed(f"torch: {cause}")
