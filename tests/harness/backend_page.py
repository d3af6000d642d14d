"""The backend that backends/README.md shows, as it stands there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from trivet.backend.contract import Backend

PAGE = (Path(__file__).parents[2] / "backends" / "README.md").read_text(encoding="utf-8")
MODULE = "trivet_static"
VOCABULARY, WIDTH = 50, 4


def block(language: str) -> str:
    """The page's one block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def write_package(folder: Path) -> Path:
    """The distribution that the page shows."""
    folder.mkdir()
    (folder / f"{MODULE}.py").write_text(block("python"))
    (folder / "pyproject.toml").write_text(block("toml"))
    return folder


def write_table(folder: Path) -> np.ndarray:
    """The artifact: a table of random rows."""
    table = np.random.default_rng(0).normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
    np.save(folder / "vectors.npy", table)
    return table


def backend() -> Backend:
    """Made of the page's code, without being installed."""
    made: Backend = _module().StaticBackend()
    return made


@cache
def _module() -> ModuleType:
    module = ModuleType(MODULE)
    exec(compile(block("python"), "backends/README.md", "exec"), vars(module))
    return module
