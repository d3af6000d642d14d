"""What a container does to a process: it is number 1, nobody's user, and can write hardly anywhere.

Done with `unshare` and `setpriv` of util-linux, since an image cannot be run in the suite.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

NOBODY = 65534

ISOLATED = ("unshare", "--kill-child", "--pid", "--fork", "--mount-proc")

# All that is mounted becomes read-only, but one empty folder in memory, which is TMPDIR.
_READ_ONLY = """
set -e
mount --make-rprivate /
awk '$3 !~ /^(proc|sysfs|cgroup2?|devpts|devtmpfs)$/ && $2 !~ "^/(proc|sys|dev)" {print $2}' \
    /proc/self/mounts | while read place; do mount -o remount,bind,ro "$place"; done
mount -t tmpfs -o mode=1777 tmpfs /run
cd /
exec env -u HOME TMPDIR=/run setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
    --bounding-set=-all "$@"
"""


@functools.cache
def _permitted(command: tuple[str, ...]) -> bool:
    tools = all(shutil.which(each) for each in ("unshare", "setpriv", "mount", "awk"))
    return tools and subprocess.run(command, capture_output=True, check=False).returncode == 0


def as_process_1(command: Sequence[str]) -> list[str]:
    """A command line whose process is number 1. Skips the test where that is not permitted."""
    if not _permitted((*ISOLATED, "true")):
        pytest.skip("needs the right to make a namespace of processes (unshare --pid)")
    return [*ISOLATED, *command]


def confined(command: Sequence[str], readable: Path) -> list[str]:
    """As process 1, as nobody, with a read-only file system, TMPDIR in memory and no HOME.

    Skips the test where that is not permitted, or where nobody could not read `readable`.
    """
    line = (*ISOLATED, "--mount", "sh", "-c", _READ_ONLY, "sh")
    if os.geteuid() != 0 or not _permitted((*line, "true")):
        pytest.skip("needs root and the right to make namespaces (unshare --pid --mount)")
    if not _permitted((*line, "test", "-r", str(readable))):
        pytest.skip(f"another user cannot read {readable}")
    return [*line, *command]


def number_1_of(process: subprocess.Popen[str]) -> int:
    """The number that process 1 has outside, once there is one."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        if numbers := children.read_text().split():
            return int(numbers[0])
    raise RuntimeError(f"it ended with status {process.returncode}")


def environment(**more: str) -> Mapping[str, str]:
    """This one, without what writes into the source tree."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **more}
