"""The script that a model's process runs; the server starts it by its path. Its first argument is
for people who look at processes.

It makes this package importable, and nothing else of what the server's interpreter has installed.
"""

from __future__ import annotations

import importlib
import signal
import sys
import types
from pathlib import Path

_ROOT = "trivet_backends"


def _ignore(number: int, frame: types.FrameType | None) -> None:
    """Ctrl-C and a supervisor's SIGTERM reach every process; the server says when we end.

    A handler, and not SIG_IGN, which processes that the model starts would inherit.
    """


def _make_importable() -> None:
    """Let `trivet_backends.python` be found; its parent package imports nothing anyway."""
    if sys.path and Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
        del sys.path[0]  # this script's folder, whose names are no top-level modules
    root = types.ModuleType(_ROOT)
    root.__path__ = [str(Path(__file__).resolve().parents[2])]
    sys.modules[_ROOT] = root


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _ignore)
    signal.signal(signal.SIGTERM, _ignore)
    _make_importable()
    serving = importlib.import_module(f"{_ROOT}.python.child.serving")
    sys.exit(serving.main(sys.argv[2:]))
