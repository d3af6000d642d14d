"""The names of the events that code logs, read from the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from trivet.cli.reference.events import Level

_LEVELS = {
    "info": Level.INFO,
    "warning": Level.WARNING,
    "error": Level.ERROR,
    "exception": Level.ERROR,
    "log": Level.ANY,  # a level that is a variable
}


def logged(folder: Path) -> dict[str, set[Level]]:
    """Event -> the levels at which the modules under a folder log it.

    An event that is a parameter of the function is what the module calls that function with.
    Raises ValueError for one that is neither that nor written out: nobody could list it.
    """
    found: dict[str, set[Level]] = {}
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for level, event in _calls(function):
                    for name in _names(event, function, tree, path):
                        found.setdefault(name, set()).add(level)
    return found


def _calls(function: ast.AST) -> Iterator[tuple[Level, ast.expr]]:
    """The events of log.info("event") and the like, and of log.log(level, "event")."""
    for call in ast.walk(function):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        owner, method = call.func.value, call.func.attr
        if isinstance(owner, ast.Name) and owner.id == "log" and method in _LEVELS:
            yield _LEVELS[method], call.args[1 if method == "log" else 0]


def _names(
    event: ast.expr, function: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.AST, path: Path
) -> list[str]:
    if isinstance(event, ast.Constant):
        return [str(event.value)]
    parameters = [argument.arg for argument in function.args.args if argument.arg != "self"]
    if not (isinstance(event, ast.Name) and event.id in parameters):
        raise ValueError(f"{path.name}: line {event.lineno}: write the event out")
    place = parameters.index(event.id)
    given = [
        call.args[place]
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == function.name
    ]
    return [str(value.value) for value in given if isinstance(value, ast.Constant)]
