"""What `trivet demo` is made of; the show itself is run end to end elsewhere."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trivet_client import Client, errors
from trivet_client.commands import demo
from trivet_client.demo.corpus import MASKED, mixed_texts
from trivet_client.demo.display import Display
from trivet_client.demo.processes import StepFailed, build, serving
from trivet_client.demo.scenes import binned, overtaken


def test_mixed_texts_are_mixed_and_the_same_each_run() -> None:
    texts = mixed_texts(200)
    lengths = [len(text.split()) for text in texts]
    assert texts == mixed_texts(200)
    assert len(texts) == 200
    assert 12 <= statistics.median(lengths) <= 24
    assert min(lengths) < 6
    assert 80 < max(lengths) <= 220


def test_every_masked_sentence_has_a_mask() -> None:
    assert all("[MASK]" in sentence for sentence in MASKED)


@pytest.mark.parametrize(
    ("order", "count"), [([], 0), ([0, 1, 2], 0), ([1, 0, 2], 1), ([3, 0, 1, 2], 3)]
)
def test_overtaken_answers_are_counted(order: list[int], count: int) -> None:
    assert overtaken(order) == count


def test_batch_sizes_are_counted_in_bins_that_double() -> None:
    counts = {1: 5, 2: 1, 3: 2, 4: 1, 5: 7, 8: 1, 9: 1, 64: 2}
    bins = {"1": 5, "2": 1, "3-4": 3, "5-8": 8, "9-16": 1, "33-64": 2}
    assert binned(counts) == bins


def test_the_display_keeps_to_80_columns(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    display = Display()
    display.heading("A step")
    display.note("a long explanation " * 20)
    display.candidates("A [MASK] sentence", [[("representatives", 1.0), ("x", 0.0)]] * 2)
    display.shares([("a sentence of some length that is still one line", 0.5)])
    display.counts(("texts in a batch", "batches"), {"1": 3, "33-64": 1})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 10
    assert max(map(len, lines)) <= 80


def test_a_failed_build_shows_its_last_lines(tmp_path: Path) -> None:
    said: list[str] = []
    arguments = [str(tmp_path / "nothing"), "--model-repository", str(tmp_path / "models")]
    with pytest.raises(StepFailed, match=r"trivet build .* ended with status 2") as caught:
        build(arguments, said.append)
    assert any("trivet: error:" in line for line in caught.value.tail)
    assert said
    assert not (tmp_path / "models").exists()


def test_a_server_that_cannot_start_shows_its_last_lines(tmp_path: Path) -> None:
    with (
        pytest.raises(StepFailed, match="before it was ready") as caught,
        serving(str(tmp_path / "nothing")),
    ):
        pass
    assert any("trivet: error:" in line for line in caught.value.tail)


def test_a_server_is_started_asked_and_stopped(tmp_path: Path) -> None:
    with serving(str(tmp_path)) as server, Client(server.address) as client:
        client.wait_ready()
        server.stop()
        with pytest.raises(errors.Unavailable):
            client.server_live()


def test_a_server_does_not_outlive_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), serving(str(tmp_path)) as server:
        address = server.address
        raise ZeroDivisionError
    with pytest.raises(errors.Unavailable), Client(address) as client:
        client.server_live()


WAITING = """
import signal, sys
from trivet_client.demo.processes import serving, signals_end_the_block
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
with signals_end_the_block(), serving(sys.argv[1]) as server:
    print(server.address, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_server_does_not_outlive_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", WAITING, str(tmp_path)]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with Client(address) as client:
            assert client.server_live()
            os.kill(process.pid, number)
            assert process.wait(20) != 0
            with pytest.raises(errors.Unavailable):
                client.server_live()


def run_demo(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return demo.run(parser.parse_args(argv))


def test_a_missing_checkpoint_is_one_line_with_a_cure(capsys: Any, tmp_path: Path) -> None:
    assert run_demo("--minilm", str(tmp_path), "--model-repository", str(tmp_path)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("trivet: error: ")
    assert line.endswith("run this in the checkout of trivet, or give --minilm FOLDER")
