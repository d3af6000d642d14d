"""What other packages add to trivet, found by entry points; a third party's is like our own.

Groups: `trivet.backends` (objects or classes that are a `Backend`) and `trivet.commands` (modules
or objects that are a `trivet.cli.command.Command`). Finding names imports nothing.
"""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, cast

from trivet.errors import Fault, InvalidConfig

if TYPE_CHECKING:
    from trivet.backend.contract import Backend

BACKENDS = "trivet.backends"
COMMANDS = "trivet.commands"


def backends() -> tuple[str, ...]:
    """The names of the backends that are there, sorted; they may lack the engine they need."""
    return tuple(sorted(entries(BACKENDS)))


def load_backend(name: str, *, user_code: bool = False) -> Backend:
    """A backend by its name. user_code: whether it may run code out of the repository.

    Raises InvalidConfig for one there is not, naming those there are, for one whose engine is not
    installed, saying what to install, and for one that would run code and may not.
    """
    from trivet.backend.contract import UserCodeBackend

    entry = entries(BACKENDS).get(name)
    if entry is None:
        known = ", ".join(backends()) or "none"
        cure = f"use one of those installed ({known}), or install the package that brings it"
        raise InvalidConfig([Fault(f"backend '{name}'", "there is no such backend", cure)])
    loaded = load(entry, f"backend '{name}'")
    backend = cast("Backend", loaded() if isinstance(loaded, type) else loaded)
    if isinstance(backend, UserCodeBackend) and not user_code:
        what = "runs Python code out of the model repository, which is switched off"
        cure = "say --allow-python-backend=true if you trust everyone who can write there"
        raise InvalidConfig([Fault(f"backend '{name}'", what, cure)])
    return backend


def entries(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name."""
    return {entry.name: entry for entry in entry_points(group=group)}


def load(entry: EntryPoint, what: str) -> Any:
    """What an entry point names, imported.

    Raises InvalidConfig that names the extra to install if a package is missing.
    """
    try:
        return entry.load()
    except ImportError as error:
        raise missing_package(entry, error, what) from error


def missing_package(entry: EntryPoint, error: ImportError, what: str) -> InvalidConfig:
    """The fault that `what`, from this entry point, lacks a package, and what to install."""
    package = (error.name or "").partition(".")[0]
    distribution = entry.dist.name if entry.dist else "trivet"
    extra = extra_with(package, (entry.dist.requires if entry.dist else None) or [])
    cure = f"install the package that brings '{package}'"
    if extra:
        cure = f"pip install '{distribution}[{extra}]'"
    return InvalidConfig([Fault(what, f"cannot be used: {error}", cure)])


def extra_with(package: str, requires: list[str]) -> str:
    """The first extra that brings a package; "" where none does.

    requires: a distribution's requirements, e.g. "onnx>=1.18; extra == 'workshop'".
    """
    for requirement in requires:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*[\"']([\w.-]+)[\"']", requirement)
        if name and extra and _normal(name[0]) == _normal(package):
            return extra[1]
    return ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
