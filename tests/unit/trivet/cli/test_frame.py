"""`trivet`: finding commands, help, and how failures look and end."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from trivet.cli import main

pytestmark = pytest.mark.usefixtures("installed")


def trivet(their_package: Path, *args: str, script: str = "") -> list[str]:
    """The command line of a process of its own."""
    code = script or "import sys; from trivet.cli import main; sys.exit(main())"
    return [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(their_package)!r}); {code}",
        *args,
    ]


def test_a_command_runs_and_gives_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["obey", "seven"]) == 7
    assert main(["obey", "this"]) == 0
    assert capsys.readouterr().out == "obeyed: seven\nobeyed: this\n"


def test_help_lists_the_commands_in_a_sensible_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    lines = [line.split()[0] for line in out.partition("commands:\n")[2].splitlines() if line]
    listed = [line for line in lines if line in {"serve", "ls", "check", "obey", "lack"}]
    assert listed == ["serve", "ls", "check", "lack", "obey"]
    assert "do as told" in out
    assert "examples:" in out
    assert "README.md" in out


def test_a_command_that_lacks_a_package_breaks_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "(not installed: pip install 'theirs[huge]')" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["lack", "lack_late"])
def test_a_missing_package_is_answered_with_the_extra(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"trivet: error: command '{name}': cannot be used: No module named 'very_huge_package';"
        " pip install 'theirs[huge]'\n"
    )


def test_an_import_that_no_extra_mends_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError):
        main(["obey", "bug"])


def test_the_help_of_a_command_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["obey", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: trivet obey")
    assert "in the end: nothing" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"trivet {version('trivet')}\n"


def test_every_fault_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["obey", "two"]) == 2
    assert capsys.readouterr().err == (
        "trivet: error: a: is bad; mend it\ntrivet: error: b: is worse; drop it\n"
    )


def test_a_failure_that_is_nobodys_fault_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["obey", "unavailable"]) == 1
    assert capsys.readouterr().err == "trivet: error: not now; retry later\n"


def test_an_interrupt_ends_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["obey", "interrupt"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["chekc"], "there is no command 'chekc'; did you mean 'check'?"),
        (["x"], "there is no command 'x'; `trivet --help` lists the commands"),
        (["obey"], "the following arguments are required: order"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["check", "--loa", "models"], "unrecognized arguments: --loa"),
    ],
)
def test_wrong_use_ends_with_2(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    assert said in capsys.readouterr().err


def test_no_command_at_all_shows_the_help_as_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "commands:" in captured.err


def test_a_reader_who_leaves_is_no_error(their_package: Path) -> None:
    command = trivet(their_package, "obey", "flood")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(10) == b"x" * 10
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_help_of_check_imports_no_engine_and_no_protobuf(their_package: Path) -> None:
    script = (
        "from trivet.cli import main; main(['check', '--help']);"
        " heavy = {'numpy', 'google.protobuf', 'grpc', 'onnxruntime', 'tokenizers', 'rich'};"
        " print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        trivet(their_package, script=script), capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("\n[]\n")
