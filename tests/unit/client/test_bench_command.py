"""`trivet bench` against a small real server: what it sends, what it reports, what it refuses."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.fake_server import FakeServer
from trivet_client.bench.server_side import cpu_seconds, pid_behind
from trivet_client.commands import bench

SHORT = ("--concurrency", "2", "--warmup", "0", "--requests", "30")


@pytest.fixture
def trivet_bench(server: FakeServer) -> Callable[..., int]:
    def run(*argv: str) -> int:
        parser = argparse.ArgumentParser()
        bench.add_arguments(parser)
        return bench.run(parser.parse_args(["--url", server.address, *argv]))

    return run


def test_a_closed_loop_is_reported_as_table_json_and_picture(
    trivet_bench: Any, capsys: Any, tmp_path: Path
) -> None:
    files = {"--json": tmp_path / "r.json", "--picture": tmp_path / "r.svg"}
    flags = [str(part) for pair in files.items() for part in pair]
    assert trivet_bench(*SHORT, *flags) == 0
    heading, row, *_ = capsys.readouterr().out.splitlines()
    assert heading.split()[:4] == ["at", "a", "time", "requests/s"]
    assert heading.split()[6] == "padding"
    assert (row.split()[0], row.split()[4]) == ("2", "25.0%")
    document = json.loads(files["--json"].read_text())
    (level,) = document["levels"]
    assert (level["loop"], level["concurrency"], level["answered"]) == ("closed", 2, 30)
    assert level["errors"] == {}
    assert level["tokens_per_s"] == pytest.approx(7 * level["texts_per_s"])  # the server's COST
    assert 0 < level["latency"]["p50_ms"] <= level["latency"]["max_ms"]
    assert level["server_cpu_ms_per_request"] is not None  # the fake server is this process
    assert level["padding_ratio"] == 0.25
    assert level["tokens"] == {"embed": {"tokens": 30, "padding_tokens": 10, "padding_ratio": 0.25}}
    assert document["server"]["name"] == "fake"
    drawn = files["--picture"].read_text()
    assert drawn.startswith("<svg")
    assert ">2, 25%</text>" in drawn
    assert "numbers: requests in flight, padding" in drawn


def test_a_server_that_tells_no_padding_is_measured_all_the_same(
    trivet_bench: Any, capsys: Any, tmp_path: Path
) -> None:
    file = tmp_path / "r.json"
    assert trivet_bench("--model", "silent", *SHORT, "--json", str(file)) == 0
    assert "padding: the server does not tell it" in capsys.readouterr().out
    (level,) = json.loads(file.read_text())["levels"]
    assert (level["tokens"], level["padding_ratio"]) == (None, None)


def test_an_open_loop_on_a_stream_from_two_processes(
    trivet_bench: Any, tmp_path: Path, capsys: Any
) -> None:
    load = ("--rate", "200", "--requests", "40", "--warmup", "0", "--processes", "2", "--stream")
    file = tmp_path / "r.json"
    assert trivet_bench(*load, "--task", "fill_mask", "--json", str(file)) == 0
    (level,) = json.loads(file.read_text())["levels"]
    assert (level["loop"], level["rate"], level["answered"]) == ("open", 200, 40)
    assert capsys.readouterr().out.startswith("per second")


def test_tensors_are_given_or_random_by_the_metadata(trivet_bench: Any, server: FakeServer) -> None:
    tensors = ("--shape", "ids:2,16", "--input", "weight=[0.5]")
    assert trivet_bench("--task", "infer", "--model", "encoder", *tensors, *SHORT) == 0
    request = server.requests[-1]
    assert [(i.name, i.datatype, list(i.shape)) for i in request.inputs] == [
        ("ids", "INT64", [2, 16]),
        ("weight", "FP32", [1]),
    ]
    assert request.raw_input_contents[1] == b"\0\0\0\x3f"
    assert len(server.requests) >= 30


def test_texts_of_a_file_are_sent_in_requests_of_several(
    trivet_bench: Any, server: FakeServer, tmp_path: Path
) -> None:
    file = tmp_path / "texts"
    file.write_text("one\n\ntwo\nthree\n")
    assert trivet_bench("--texts", str(file), "--batch", "2", *SHORT) == 0
    assert {tuple(request.texts) for request in server.requests} == {
        ("one", "two"),
        ("three", "one"),
    }


def test_errors_are_counted_by_status_and_end_in_status_1(
    trivet_bench: Any, capsys: Any, tmp_path: Path
) -> None:
    file = tmp_path / "texts"
    file.write_text("fine\nrefuse\n")
    assert trivet_bench("--texts", str(file), *SHORT) == 1
    printed = capsys.readouterr()
    assert "2 at a time: ERRORS: 15 x INVALID_ARGUMENT" in printed.out
    assert "2 at a time: errors came " in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(
    ("argv", "fragment"),
    [
        (["--model", "missing"], "Request for unknown model: 'missing'"),
        (["--lengths", "gauss:1"], "--lengths gauss:1: a length is 3 to 512 tokens"),
        (["--lengths", "gauss:9"], "--lengths gauss:9 is none of lognormal:MEDIAN:P95"),
        (["--shape", "ids:1"], "--input and --shape are tensors, but --task embed takes text"),
        (["--task", "infer"], "--task infer needs --model NAME"),
        (["--stream", "--batch", "2"], "leave out --batch"),
        (["--texts", "/nowhere/texts"], "--texts /nowhere/texts cannot be read"),
        (["--json", "/nowhere/x.json"], "there is no folder /nowhere"),
        (["--concurrency", "1", "--processes", "2"], "2 processes cannot share 1"),
        (["--against-engine", "."], "needs a pipeline with one ready step"),
        (["--task", "infer", "--model", "encoder"], "say which with --shape ids:1,16"),
        (["--task", "infer", "--model", "encoder", "--shape", "ids:1"], "the model takes [-1, -1]"),
        (["--task", "infer", "--model", "small", "--shape", "y:1"], "the model has x, flag, name"),
        (["--task", "infer", "--model", "encoder", "--input", "ids"], "is not NAME=JSON"),
        (["--url", "127.0.0.1:1"], "no server answers at 127.0.0.1:1"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(
    trivet_bench: Any, capsys: Any, argv: list[str], fragment: str
) -> None:
    assert trivet_bench(*argv) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("trivet: error: ")
    assert fragment in line


@pytest.mark.parametrize(
    "argv", [["--concurrency", "0"], ["--rate", "-1"], ["--warmup", "x"], ["--requests", "1.5"]]
)
def test_numbers_out_of_range_are_told_by_flag(
    trivet_bench: Any, capsys: Any, argv: list[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        trivet_bench(*argv)
    assert f"argument {argv[0]}: '{argv[1]}' is no" in capsys.readouterr().err


def test_the_process_behind_a_port_is_found_and_its_cpu_time_read(server: FakeServer) -> None:
    assert pid_behind(server.address) == os.getpid()
    before = cpu_seconds(os.getpid())
    assert before
    assert before <= (cpu_seconds(os.getpid()) or 0)
    assert pid_behind("192.0.2.1:80") is None
