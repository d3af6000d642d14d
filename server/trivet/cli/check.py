"""`trivet check`: everything that is wrong with a repository, at once."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trivet.cli.arguments import add_repository_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trivet.errors import Fault
    from trivet.repository.inspection import Inspected

NAME = "check"
HELP = "find everything that is wrong with a model repository"
DESCRIPTION = """\
Read every model of the repository, without serving it: config.pbtxt, versions, backends, artifacts
and how pipelines are wired. Every fault is told at once, by file and field, with its cure.
"""
EPILOG = """\
exit status: 0 if every model would load, 1 if a fault was found, 2 if there is no such repository.

examples:
  trivet check models
  trivet check models --load         also open the artifacts and compare them with their configs
  trivet check models --json | jq    for programs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_repository_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0 if every model would load, else 1. Raises InvalidConfig if a repository cannot be read."""
    from trivet.cli.repository import as_json, look

    repository = look(
        args.repository, open_artifacts=args.load, user_code=args.allow_python_backend
    )
    if args.json:
        print(as_json(repository))
    else:
        _print(repository.models, repository.faults)
    return 0 if repository.sound else 1


def _print(models: Sequence[Inspected], repository_faults: Sequence[Fault]) -> None:
    faults = [*repository_faults, *(fault for model in models for fault in model.faults)]
    for fault in faults:
        print(fault)
    for note in (note for model in models for note in model.folder.notes):
        print(f"note: {note}")
    faulty = sum(1 for model in models if model.faults)
    versions = sum(len(model.versions) for model in models if not model.faults)
    print(
        f"{_count(len(models), 'model')}: {len(models) - faulty} would load"
        f" ({_count(versions, 'version')}), {faulty} would not; {_count(len(faults), 'fault')}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
