"""Unix sockets: a path that nobody else serves, within what the system can name."""

from __future__ import annotations

import errno
import socket
import stat
from pathlib import Path

from trivet.errors import Fault, InvalidConfig

MAX_PATH_BYTES = 107  # of a socket's name in Linux, without the zero that ends it


def check_socket(path: Path) -> None:
    """Raise InvalidConfig unless a server can be put there. What a dead one left is no hindrance.

    grpc itself would remove whatever lies there, and take the callers of a server that runs.
    """
    if fault := _fault(path):
        raise InvalidConfig([Fault(f"unix:{path}", *fault)])


def _fault(path: Path) -> tuple[str, str] | None:
    if len(str(path).encode()) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes", "choose a shorter path"
    if not path.is_absolute():
        return "is no absolute path", "write it from the root: unix:/run/trivet.sock"
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if path.parent.is_dir():
            return None
        return "its folder does not exist", f"make {path.parent}"
    except OSError as error:
        return str(error.strerror).lower(), "choose a path that this user may use"
    if not stat.S_ISSOCK(mode):
        return "is there already and no socket", "choose another path, or remove it"
    if _answers(path):
        return "another server listens there", "stop it, or choose another path"
    return None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path)) not in (errno.ECONNREFUSED, errno.ENOENT)
