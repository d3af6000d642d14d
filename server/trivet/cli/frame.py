"""The frame around every command: --help, errors in one line each, exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, version

from trivet import plugins
from trivet.cli.command import Command
from trivet.cli.init import watch_over
from trivet.errors import Code, InvalidConfig, InvalidInput, ServeError

FAILED = 1
WRONG_USE = 2  # of the command line, or a file it reads
INTERRUPTED = 130  # 128 + SIGINT, as shells count
PIPE_CLOSED = 141  # 128 + SIGPIPE

# As a person meets them; then by name.
ORDER = (
    *("serve", "build", "export", "finetune", "quantize", "tune"),
    *("ls", "check", "infer", "ready", "bench", "stub", "demo"),
)

ABOUT = """\
trivet serves models of the BERT family over gRPC: text in, answers out.

It reads a repository of versioned models (Triton's layout and config.pbtxt), speaks KServe v2 and
trivet.v1.TextService, tokenizes inside and batches requests by their real length.
"""

EXAMPLES = """\
examples:
  trivet demo                                 see it work, start to finish
  trivet build FOLDER --model-repository models  make a repository entry from a checkpoint
  trivet check models                         find everything wrong with a repository
  trivet serve --model-repository models      serve it on 127.0.0.1:8001

exit status: 0 done; 1 failed; 2 wrong use or a faulty file; 130 interrupted.

`trivet COMMAND --help` explains a command. README.md begins at the beginning;
server/OPERATING.md is for whoever runs a server, server/ARCHITECTURE.md shows how it is built.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. argv: without the program's name."""
    watch_over()
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # a closed pipe shows here, not when the interpreter ends
        return status
    except SystemExit as end:  # argparse: --help, --version, wrong flags
        return end.code if isinstance(end.code, int) else 0
    except ServeError as error:
        for line in error.message.splitlines():
            print(f"trivet: error: {line}", file=sys.stderr)
        return WRONG_USE if error.code is Code.INVALID_ARGUMENT else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has nowhere to go; without this the interpreter complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _run(argv: list[str]) -> int:
    entries = plugins.entries(plugins.COMMANDS)
    if not argv or argv[0].startswith("-"):
        return _without_command(argv, entries)
    name = argv[0]
    if name not in entries:
        near = get_close_matches(name, entries, 1)
        cure = f"did you mean '{near[0]}'?" if near else "`trivet --help` lists the commands"
        raise InvalidInput(f"there is no command '{name}'; {cure}")
    entry = entries[name]
    command: Command = plugins.load(entry, f"command '{name}'")
    args = _parser(command).parse_args(argv[1:])
    try:
        return command.run(args)
    except ModuleNotFoundError as error:
        if (missing := _missing_extra(entry, error, name)) is None:
            raise
        raise missing from error


def _missing_extra(entry: EntryPoint, error: ImportError, name: str) -> InvalidConfig | None:
    """What to install, if a package of an extra is missing; any other import error is a bug."""
    package = (error.name or "").partition(".")[0]
    requires = (entry.dist.requires if entry.dist else None) or []
    if not plugins.extra_with(package, requires):
        return None
    return plugins.missing_package(entry, error, f"command '{name}'")


def _parser(command: Command) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"trivet {command.NAME}",
        description=getattr(command, "DESCRIPTION", command.HELP),
        epilog=getattr(command, "EPILOG", None),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


def _without_command(argv: list[str], entries: dict[str, EntryPoint]) -> int:
    parser = argparse.ArgumentParser(
        prog="trivet",
        usage="trivet [--help] [--version] COMMAND ...",
        description=f"{ABOUT}\ncommands:\n{_listed(entries)}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"trivet {version('trivet')}")
    parser.parse_args(argv)
    parser.print_help(sys.stderr)
    return WRONG_USE


def _listed(entries: dict[str, EntryPoint]) -> str:
    """One line per command. One that lacks a package says so, and the others are still listed."""
    names = [name for name in ORDER if name in entries] + sorted(entries.keys() - set(ORDER))
    width = max(map(len, names), default=0)
    lines = []
    for name in names:
        try:
            command: Command = plugins.load(entries[name], f"command '{name}'")
            lines.append(f"  {name:{width}}  {command.HELP}")
        except InvalidConfig as error:
            lines.append(f"  {name:{width}}  (not installed: {error.faults[0].cure})")
    return "\n".join(lines)
