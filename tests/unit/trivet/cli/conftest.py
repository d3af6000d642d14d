"""A package of somebody else's, found by entry points like our own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ENTRY_POINTS = """
[trivet.backends]
theirs = theirs_backend:Backend
made = theirs_backend:made
lacking = theirs_lacking:Backend

[trivet.commands]
serve = trivet.cli.serve
ls = trivet.cli.ls
check = trivet.cli.check
obey = theirs_command
lack = theirs_lacking
lack_late = theirs_late
"""
METADATA = """
Metadata-Version: 2.1
Name: theirs
Version: 1.0
Provides-Extra: huge
Requires-Dist: numpy>=2
Requires-Dist: very-huge.package>=3; extra == "huge"
"""
COMMAND = """
from trivet import errors

NAME = "obey"
HELP = "do as told"
EPILOG = "in the end: nothing"

def add_arguments(parser):
    parser.add_argument("order")

def run(args):
    match args.order:
        case "interrupt":
            raise KeyboardInterrupt
        case "two":
            raise errors.InvalidConfig(
                [errors.Fault("a", "is bad", "mend it"), errors.Fault("b", "is worse", "drop it")]
            )
        case "unavailable":
            raise errors.Unavailable("not now; retry later")
        case "pipe":
            raise BrokenPipeError
        case "bug":
            import no_extra_brings_this
        case "flood":
            while True:
                print("x" * 1000)
    print(f"obeyed: {args.order}")
    return 7 if args.order == "seven" else 0
"""
MODULES = {
    "theirs_backend.py": "class Backend:\n    pass\n\nmade = Backend()\n",
    "theirs_lacking.py": "import very_huge_package.core\n",
    "theirs_late.py": (
        "NAME = 'lack_late'\nHELP = 'imports late'\n\ndef add_arguments(parser):\n    pass\n\n"
        "def run(args):\n    import very_huge_package.core\n"
    ),
    "theirs_command.py": COMMAND,
    "theirs-1.0.dist-info/METADATA": METADATA.lstrip(),
    "theirs-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
}


@pytest.fixture
def their_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder it is installed in."""
    folder = tmp_path_factory.mktemp("site")
    for name, text in MODULES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def installed(their_package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package, importable here."""
    monkeypatch.syspath_prepend(str(their_package))
    for name in [name for name in sys.modules if name.startswith("theirs_")]:
        monkeypatch.delitem(sys.modules, name)
    return their_package
