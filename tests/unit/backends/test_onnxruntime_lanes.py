"""Parallelism that follows load: which session a batch runs on, and that weights are mapped."""

from __future__ import annotations

import gc
import logging
import re
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.harness.artifacts import write_graph
from trivet.backend.contract import Batch, LoadContext, Rows
from trivet.backend.cores import Cores
from trivet.config import InstanceGroup, ModelConfig, SequencePolicy, TensorSpec
from trivet_backends.onnxruntime import OnnxRuntimeBackend
from trivet_backends.onnxruntime.backend import OnnxArtifact
from trivet_backends.onnxruntime.lanes import Lane, Lanes, choose, widths

SIZE = 256
WEIGHTS = np.random.default_rng(3).normal(size=(SIZE, SIZE)).astype(np.float32)
INPUT = TensorSpec(name="x", datatype="FP32", dims=(SIZE,))
OUTPUT = TensorSpec(name="y", datatype="FP32", dims=(SIZE,))


@pytest.mark.parametrize(
    ("cores", "instances", "found"),
    [
        (1, 1, [1]),
        (2, 1, [2]),
        (2, 2, [2, 1]),
        (2, 5, [2, 1]),
        (6, 6, [6, 3, 3, 1]),
        (8, 1, [8]),
        (8, 2, [8, 4, 4]),
        (8, 3, [8, 4, 4, 2, 2, 2, 2]),
        (8, 8, [8, 4, 4, 2, 2, 2, 2, 1]),
    ],
)
def test_there_is_a_lane_for_every_place_at_every_width(
    cores: int, instances: int, found: list[int]
) -> None:
    assert widths(cores, instances) == found


@pytest.mark.parametrize(
    ("lanes", "share", "chosen"),
    [
        ([(8, "free"), (4, "free"), (4, "free"), (1, "free")], 8, 0),
        ([(8, "busy"), (4, "free"), (4, "free"), (1, "free")], 4, 1),
        ([(8, "busy"), (4, "busy"), (4, "free"), (1, "free")], 4, 2),
        ([(8, "free"), (4, "busy"), (4, "busy"), (1, "free")], 4, 3),
        ([(8, "free"), (4, "free"), (4, "free"), (1, "busy")], 2, 3),  # takes any number
        ([(8, "busy"), (1, "busy")], 1, 1),
        ([(8, "free"), (4, "free"), (4, "fresh"), (1, "free")], 8, 2),  # to be warmed up
    ],
)
def test_a_batch_takes_the_widest_free_lane_within_its_share(
    lanes: list[tuple[int, str]], share: int, chosen: int
) -> None:
    made = [
        Lane(width, None, free=state != "busy", used=state != "fresh") for width, state in lanes
    ]
    assert choose(made, share) is made[chosen]


def test_batches_side_by_side_run_on_narrower_sessions_and_a_lone_one_on_all_cores() -> None:
    lanes = Lanes([Lane(width, width, used=True) for width in widths(4, 4)], Cores(4))
    with lanes.session() as first, lanes.session() as second, lanes.session() as third:
        assert (first, second, third) == (4, 2, 1)
    with lanes.session() as alone:
        assert alone == 4


def test_what_runs_in_other_models_narrows_a_batch_too() -> None:
    cores = Cores(2)
    one, other = (Lanes([Lane(2, 2, used=True), Lane(1, 1, used=True)], cores) for _ in "ab")
    with one.session(), other.session() as session:
        assert session == 1


def matmul(folder: Path, **config: Any) -> OnnxArtifact:
    write_graph(
        folder / "model.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", SIZE])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    context = LoadContext(version=1, path=folder, where="m/1", threads=2, cores=Cores(2))
    return OnnxRuntimeBackend().open(ModelConfig(name="m", **config), context)


def mapped_files() -> list[str]:
    gc.collect()
    return re.findall(r"\S*/trivet-\S+/weights\.bin.*", Path("/proc/self/maps").read_text())


def test_weights_are_mapped_from_a_file_without_a_name_until_the_artifact_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = len(mapped_files())
    artifact = matmul(tmp_path)
    assert artifact.instances == 2
    assert len(mapped_files()) > before
    assert all(line.endswith("(deleted)") for line in mapped_files())
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    artifact.close()
    assert len(mapped_files()) == before


def test_instances_side_by_side_give_the_answers_of_one_alone(tmp_path: Path) -> None:
    config = ModelConfig(name="m", max_batch_size=8, inputs=(INPUT,), outputs=(OUTPUT,))
    artifact = matmul(tmp_path)
    rows = np.random.default_rng(4).normal(size=(64, 1, SIZE)).astype(np.float32)
    both = threading.Barrier(2)

    def answers(number: int) -> list[np.ndarray]:
        instance = artifact.instance(config)
        both.wait()
        found = []
        for row in rows[number::2]:
            (answer,) = instance.execute(_batch(row))
            found.append(answer.outputs["y"])
        return found

    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(answers, range(2)))
    for number, found in enumerate(halves):
        np.testing.assert_allclose(np.stack(found), rows[number::2] @ WEIGHTS, rtol=1e-3, atol=1e-3)


def _batch(row: np.ndarray) -> Any:
    return Batch([Rows({"x": row})], lambda: 0)


@pytest.mark.parametrize(
    "config",
    [
        {"instance_groups": (InstanceGroup(count=1),)},
        {"parameters": {"intra_op_thread_count": "1"}},
        {"sequence_batching": SequencePolicy()},
    ],
)
def test_a_graph_of_one_width_is_not_written_anew(tmp_path: Path, config: Any) -> None:
    before = len(mapped_files())
    matmul(tmp_path, **config)
    assert len(mapped_files()) == before


def test_without_room_for_the_file_the_model_is_served_with_one_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    with caplog.at_level(logging.WARNING):
        artifact = matmul(tmp_path)
    config = ModelConfig(name="m", max_batch_size=8, inputs=(INPUT,), outputs=(OUTPUT,))
    (answer,) = artifact.instance(config).execute(_batch(np.ones((1, SIZE), np.float32)))
    np.testing.assert_allclose(answer.outputs["y"][0], WEIGHTS.sum(axis=0), rtol=1e-3, atol=1e-3)
    (record,) = caplog.records
    assert record.message == "parallelism_does_not_follow_load"
    assert "TMPDIR" in vars(record)["cure"]
