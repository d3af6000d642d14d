"""What process 1 of a container owes the others: pass signals on, and bury the dead.

Linux gives process 1 no default action for signals, so that one which comes before a handler is
set is lost, and hands it every orphan, which stays a zombie until somebody waits for it. Instead of
teaching that to a server, process 1 stays this small loop, and a child does the work.
"""

from __future__ import annotations

import os
import signal
import sys

FIRST = 1
_SHELLS_ADD = 128  # to a signal's number, for the status of a process that it ended
_STOPS = (signal.SIGTTIN, signal.SIGTTOU)  # what a terminal sends to those in the background


def watch_over() -> None:
    """As process 1, returns in a child only; the parent ends with its status. Else does nothing.

    Call it before there are threads.
    """
    if os.getpid() != FIRST:
        return
    signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # from here on none is lost
    child = os.fork()
    if not child:
        _lead()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return
    os._exit(_until_end(child, signals))


def _lead() -> None:
    """A group of its own: a terminal's Ctrl-C then reaches it once, not a second time by us."""
    os.setpgid(0, 0)
    if sys.stdin is not None and sys.stdin.isatty():
        os.tcsetpgrp(sys.stdin.fileno(), os.getpid())


def _until_end(child: int, signals: set[signal.Signals]) -> int:
    """The child's status, as a shell tells it."""
    while True:
        number = signal.sigwait(signals)
        if number == signal.SIGCHLD:
            status = _bury(child)
            if status is not None:
                return status if status >= 0 else _SHELLS_ADD - status
        elif number not in _STOPS:
            os.kill(child, number)


def _bury(child: int) -> int | None:
    """Wait for all that have ended; the child's exit code if it is among them."""
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:  # there are none
            return ended
        if not pid:
            return ended
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
