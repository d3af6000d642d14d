"""Telling a person what a build is doing: a moving line on a terminal, else lines; on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Announce = Callable[[str], None]


@contextmanager
def announcing() -> Iterator[Announce]:
    """Gives a function that is called with what begins now; the display ends with the block."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: print(text, file=sys.stderr, flush=True)
        return
    begun = time.monotonic()
    with console.status("starting", spinner="dots") as status:
        yield lambda text: status.update(escape(f"{text} ({time.monotonic() - begun:.0f} s)"))
