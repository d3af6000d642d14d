"""`trivet ls`: what is in a repository, and whether it would load."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trivet.cli.arguments import add_repository_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trivet.config import TensorSpec
    from trivet.repository.inspection import Inspected

NAME = "ls"
HELP = "list the models of a repository and whether they would load"
DESCRIPTION = """\
List every model of the repository, without serving it: its kind (the backend that runs it, or
"pipeline"), the versions that would be served, whether it would load, and its tensors, or the first
reason why it would not load (`trivet check` tells them all). What only the artifact tells is shown
as "?" unless --load opens it. Shapes are of one row where the model batches.
"""
EPILOG = """\
examples:
  trivet ls models
  trivet ls models --load    open the artifacts, too: shows the tensors that only they tell
"""

HEADINGS = ("NAME", "KIND", "VERSIONS", "LOADS", "INPUTS -> OUTPUTS, OR WHY NOT")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_repository_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0, whether or not the models would load. Raises InvalidConfig for an unreadable folder."""
    from trivet.cli.repository import as_json, look

    repository = look(
        args.repository, open_artifacts=args.load, user_code=args.allow_python_backend
    )
    if args.json:
        print(as_json(repository))
        return 0
    print(table([HEADINGS, *(_row(model) for model in repository.models)]))
    for fault in repository.faults:
        print(f"left out: {fault}")
    return 0


def table(rows: Sequence[Sequence[str]]) -> str:
    """Plain columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _row(model: Inspected) -> tuple[str, ...]:
    config = model.config
    kind = "pipeline" if config and config.is_pipeline else model.backend or "?"
    versions = ",".join(map(str, model.versions)) or "-"
    if config is None or model.faults:
        return model.folder.name, kind, versions, "no", str(model.faults[0])
    tensors = f"{_shown(config.inputs)} -> {_shown(config.outputs)}"
    return model.folder.name, kind, versions, "yes", tensors


def _shown(specs: Sequence[TensorSpec]) -> str:
    """E.g. "TEXT BYTES[1]"; a dimension that varies shows its name where it has one."""
    return ", ".join(f"{spec.name} {spec.datatype}[{_dims(spec)}]" for spec in specs) or "?"


def _dims(spec: TensorSpec) -> str:
    symbols = spec.symbols or ("",) * len(spec.dims)
    return ",".join(symbol or str(dim) for symbol, dim in zip(symbols, spec.dims, strict=True))
