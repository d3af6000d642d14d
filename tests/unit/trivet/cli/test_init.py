"""Process 1 of a container: signals reach the command, orphans are buried, the status is kept."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from textwrap import dedent

import pytest

from tests.harness.containers import as_process_1, number_1_of

BEGIN = """
import os, signal, sys, time
from pathlib import Path
from trivet.cli.init import watch_over
watch_over()
assert os.getpid() != 1 and os.getppid() == 1
"""

# A child of the command ends before its own child, which then is process 1's.
ORPHAN = """
read, write = os.pipe()
if not os.fork():
    if not os.fork():
        os.write(write, b"%d" % os.getpid())
        os.close(write)
        while os.getppid() != 1:
            time.sleep(0.01)
        os._exit(0)
    os._exit(0)
os.close(write)
os.wait()
orphan = Path("/proc") / os.read(read, 20).decode()
end = time.monotonic() + 20
while orphan.exists() and time.monotonic() < end:
    time.sleep(0.01)
print("zombie" if orphan.exists() else "buried")
"""


def started(code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BEGIN + dedent(code)]
    return subprocess.Popen(as_process_1(command), stdout=subprocess.PIPE, text=True)


def test_orphans_do_not_stay_zombies() -> None:
    out, _ = started(ORPHAN).communicate(timeout=60)
    assert out == "buried\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("sys.exit(7)", 7),
        ("sys.exit(0)", 0),
        ("os.kill(os.getpid(), signal.SIGTERM)", 128 + 15),
        ("os.kill(1, signal.SIGTERM); signal.pause()", 128 + 15),
    ],
)
def test_the_status_is_the_commands(code: str, status: int) -> None:
    assert started(code).wait(60) == status


def test_signals_reach_the_command_once_each() -> None:
    process = started("""
        got = []
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, lambda number, frame: got.append(number))
        print("ready", flush=True)
        while len(got) < 2:
            signal.pause()
        print(sorted(got) == [signal.SIGHUP, signal.SIGTERM], os.getpgrp() == os.getpid())
    """)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    subprocess.run(["kill", "-HUP", str(number_1_of(process))], check=True)
    subprocess.run(["kill", "-TERM", str(number_1_of(process))], check=True)
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("True True\n", 0)


def test_ctrl_c_reaches_the_command_once() -> None:
    code = """
        got = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: got.append(int(number)))
        print("ready", os.tcgetpgrp(0) == os.getpid(), flush=True)
        while signal.SIGINT not in got:
            time.sleep(0.01)
        os.kill(1, signal.SIGTERM)  # comes by way of process 1, after whatever else it passed on
        while signal.SIGTERM not in got:
            time.sleep(0.01)
        print(got, flush=True)
    """
    line = as_process_1([sys.executable, "-c", BEGIN + dedent(code)])
    process, terminal = pty.fork()
    if not process:
        os.execvp(line[0], line)
    with os.fdopen(terminal, "rb") as screen:
        assert screen.readline() == b"ready True\r\n"
        os.write(terminal, b"\x03")
        assert screen.readline().removeprefix(b"^C") == b"[2, 15]\r\n"
        assert os.waitpid(process, 0)[1] == 0


def test_elsewhere_it_does_nothing() -> None:
    code = "import os; from trivet.cli.init import watch_over; a = os.getpid(); watch_over();"
    line = [sys.executable, "-c", f"{code} print(a == os.getpid())"]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "True\n"
