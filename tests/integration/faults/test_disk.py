"""Disks that are full: said with the cure, nothing half-written left, and what serves serves on.

A limit on the size of files stands in for the end of a disk: the kernel takes a part of a write,
too, and then refuses; /dev/full says that there is no space left.
"""

from __future__ import annotations

import json
import logging
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.harness.artifacts import write_graph
from tests.harness.managed import Bed
from tests.harness.repositories import add_model
from trivet.backend.contract import Batch, LoadContext, Rows
from trivet.backend.cores import Cores
from trivet.config import ModelConfig, TensorSpec
from trivet.repository.control import Control, NotPolled
from trivet.repository.options import ControlMode, ControlOptions
from trivet.telemetry.log_file import LogFile
from trivet.telemetry.trace_file import Record, TraceFile
from trivet_backends.onnxruntime import OnnxRuntimeBackend

ROOM = 200_000  # bytes; the test's own output has to have room, too
MUCH = 1_000_000
CONFIG = """{"backend": "fake", "max_batch_size": 8,
    "input": [{"name": "IN", "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [{"name": "OUT", "data_type": "TYPE_FP32", "dims": [-1]}]}"""


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes while the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go in these tests."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


async def test_an_upload_that_finds_no_room_leaves_nothing_and_what_serves_serves_on(
    tmp_path: Path, scratch: Path
) -> None:
    add_model(tmp_path / "r", "echo")
    bed = Bed(tmp_path / "r")
    options = ControlOptions(mode=ControlMode.EXPLICIT, load_models=("echo",), allow_upload=True)
    control = Control(bed.manager, bed.clock, options)
    await control.scan()
    assert await control.start() == []
    files = {"file:1/small": b"x", "file:2/weights": bytes(MUCH)}
    with full_after(ROOM), pytest.raises(NotPolled) as refused:
        await control.load("echo", config_json=CONFIG, files=files)
    assert "echo: cannot be stored: File too large; make room where temporary files go" in str(
        refused.value
    )
    assert list(scratch.iterdir()) == []
    assert bed.index() == {"echo/1": "READY"}
    assert await bed.echo("echo") == 1
    await control.load("echo", config_json=CONFIG, files=files)  # there is room again
    assert await bed.echo("echo") == 2
    await control.close()
    assert list(scratch.iterdir()) == []


def test_a_graph_that_cannot_be_written_anew_is_served_as_it_is(
    tmp_path: Path, scratch: Path, caplog: pytest.LogCaptureFixture
) -> None:
    value, side = helper.make_tensor_value_info, 512
    weights = numpy_helper.from_array(np.ones((side, side), np.float32), "w")
    write_graph(
        tmp_path / "model.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", TensorProto.FLOAT, [None, side])],
        [value("y", TensorProto.FLOAT, [None, side])],
        [weights],
    )
    config = ModelConfig(
        name="m",
        max_batch_size=4,
        inputs=(TensorSpec(name="x", datatype="FP32", dims=(side,)),),
        outputs=(TensorSpec(name="y", datatype="FP32", dims=(side,)),),
    )
    context = LoadContext(version=1, path=tmp_path, where="m/1", threads=1, cores=Cores(4))
    with full_after(ROOM):
        artifact = OnnxRuntimeBackend().open(config, context)
    (told,) = [r for r in caplog.records if r.msg == "parallelism_does_not_follow_load"]
    assert "TMPDIR" in vars(told)["cure"]
    assert list(scratch.iterdir()) == []
    instance = artifact.instance(config)
    rows = Rows({"x": np.ones((1, side), np.float32)})
    (answer,) = instance.execute(Batch([rows], time.monotonic_ns))
    assert not isinstance(answer, Exception)
    assert answer.outputs["y"].tolist() == [[side] * side]
    instance.close()
    artifact.close()


def trace(number: int) -> list[Record]:
    return [{"id": number, "text": "x" * 100}]


def numbers(file: Path) -> list[int]:
    return [record["id"] for record in json.loads(file.read_text())]


def test_traces_that_find_no_room_are_lost_and_the_file_stays_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trace.json"
    file = TraceFile(str(path))
    with full_after(1000):
        for number in range(20):
            file.write(trace(number), "", 0)
            kept = numbers(path)
            assert kept == list(range(len(kept)))
    assert 0 < len(kept) < 20
    assert [r.msg for r in caplog.records] == ["trace_not_written"]  # once
    file.write(trace(99), "", 0)
    assert numbers(path) == [*kept, 99]
    with full_after(1000):
        file.write(trace(100), "", 0)
    assert len(caplog.records) == 2  # it had been well in between
    file.write(trace(101), "", 0)
    file.close()
    assert numbers(path) == [*kept, 99, 101]


def test_a_trace_file_that_never_had_room_begins_when_it_has(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    file = TraceFile(str(path))
    with full_after(10):
        file.write(trace(1), "", 0)
    file.write(trace(2), "", 0)
    file.close()
    assert numbers(path) == [2]


def test_half_a_part_of_a_trace_is_not_left(tmp_path: Path) -> None:
    file = TraceFile(str(tmp_path / "trace.json"))
    with full_after(100):
        file.write(trace(1), "", 1)
    assert list(tmp_path.glob("trace*")) == []
    file.write(trace(2), "", 1)
    (part,) = tmp_path.glob("trace*")
    assert numbers(part) == [2]


def test_a_log_that_finds_no_room_says_so_once_and_goes_on_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.txt"
    logger = logging.Logger("of this test")
    handler = LogFile(str(path))
    logger.addHandler(handler)
    logger.info("first")
    with full_after(6):  # the first line, and no more
        for _ in range(5):
            logger.info("lost")
    told = capsys.readouterr().err
    assert told == (
        f"trivet: log: {path} cannot be written: File too large; lines are lost until there is"
        " room\n"
    )
    logger.info("last")
    handler.close()
    assert path.read_text().splitlines()[0] == "first"
    assert path.read_text().splitlines()[-1] == "last"
    assert capsys.readouterr().err == ""


def test_a_full_disk_at_the_start_is_told_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.Logger("of this test")
    handler = LogFile("/dev/full")
    logger.addHandler(handler)
    logger.error("model_failed")
    logger.error("model_failed")
    told = "trivet: log: /dev/full cannot be written: No space left on device; lines are lost until"
    assert capsys.readouterr().err == f"{told} there is room\n"
    logger.removeHandler(handler)
    with pytest.raises(OSError, match="No space left"):
        handler.close()
