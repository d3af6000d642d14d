"""Settings of a real server from file and environment, and as `--print-config` tells them.

On one transport: where settings come from is the same for each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.command import trivet
from tests.harness.server import serving
from trivet_client import Client


def test_a_server_takes_its_settings_from_a_file(examples: Path, tmp_path: Path) -> None:
    file = tmp_path / "trivet.toml"
    file.write_text('server-name = "from a file"\nmodel-control-mode = "explicit"\n')
    with (
        serving(examples, f"--settings-file={file}") as server,
        Client(server.address) as client,
    ):
        assert client.server_metadata().name == "from a file"
        assert not client.model_ready("embed")  # explicit, and none is named


def test_variables_win_over_the_file_and_unknown_ones_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "trivet.toml"
    file.write_text("grpc-port = 1\nmetrics-port = 2\n")
    monkeypatch.setenv("TRIVET_SETTINGS_FILE", str(file))
    monkeypatch.setenv("TRIVET_METRICS_PORT", "3")
    monkeypatch.setenv("TRIVET_METRIC_PORT", "4")
    shown = trivet("serve", "--model-repository=nowhere", "--print-config")
    rows = dict(line.split(maxsplit=1) for line in shown.out.splitlines())
    assert (shown.status, rows["SETTING"].split()) == (0, ["VALUE", "FROM"])
    assert rows["grpc-port"].split() == ["1", str(file)]
    assert rows["metrics-port"].split() == ["3", "TRIVET_METRICS_PORT"]
    assert rows["model-repository"].split() == ["nowhere", "--model-repository"]
    assert "TRIVET_METRIC_PORT: did you mean TRIVET_METRICS_PORT?" in shown.err


def test_what_is_printed_starts_the_same_server(examples: Path, tmp_path: Path) -> None:
    line = ("serve", f"--model-repository={examples}", "--server-name=twice", "--load-model=embed")
    printed = trivet(*line, "--model-control-mode=explicit", "--print-config=toml")
    assert printed.status == 0, printed.err
    file = tmp_path / "trivet.toml"
    file.write_text(printed.out)
    with (
        serving(examples, f"--settings-file={file}") as server,
        Client(server.address) as client,
    ):
        assert client.server_metadata().name == "twice"
        assert client.model_ready("embed")


def test_settings_that_contradict_one_another_are_told_after_they_are_shown() -> None:
    ended = trivet("serve", "--model-repository=m", "--load-model=a", "--print-config")
    assert ended.status == 2
    assert ended.out.startswith("SETTING")
    (error,) = ended.errors
    assert error.startswith("--load-model: the control mode is 'none'")


def test_without_a_repository_it_says_where_one_may_be_named() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRIVET_")}
    ended = subprocess.run(
        [sys.executable, "-m", "trivet", "serve"], env=clean, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert "TRIVET_MODEL_REPOSITORY or a settings file" in ended.stderr
