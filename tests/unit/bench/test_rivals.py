"""The contestants of `make bench` are the same model under the configs they are named for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.protobuf import text_format

from tests.bench.rivals import FIFO_8, LENGTH_AWARE, ONE_BY_ONE, Rival, bounded, repository_of
from tests.bench.rivals import instances as so_many
from tests.bench.subjects import Subject
from trivet_protos.generated import model_config_pb2 as pb

CONFIG = """
name: "encoder"
backend: "onnxruntime"
max_batch_size: 64
dynamic_batching { }
parameters { key: "max_batch_tokens" value { string_value: "256" } }
parameters { key: "max_padding_percent" value { string_value: "25" } }
parameters { key: "pad.input_ids" value { string_value: "0" } }
"""


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    repository = tmp_path / "original"
    for model in ("encoder", "encoder_tokenizer", "embed"):
        (repository / model / "1").mkdir(parents=True)
        (repository / model / "config.pbtxt").write_text(CONFIG)
    (repository / "encoder" / "1" / "model.onnx").write_bytes(b"weights")
    (repository / "other").mkdir()
    return Subject(name="E", repository=repository, encoder="encoder", rounds=1)


def config_of(rival: Rival, subject: Subject, into: Path) -> pb.ModelConfig:
    text = (repository_of(rival, subject, into) / "encoder" / "config.pbtxt").read_text()
    return text_format.Parse(text, pb.ModelConfig())


def test_only_the_subjects_models_are_copied_and_the_original_stays(
    subject: Subject, tmp_path: Path
) -> None:
    copy = repository_of(FIFO_8, subject, tmp_path / "copy")
    assert {path.name for path in copy.iterdir()} == set(subject.models)
    assert (copy / "encoder" / "1" / "model.onnx").read_bytes() == b"weights"
    assert (subject.repository / "encoder" / "config.pbtxt").read_text() == CONFIG


def test_as_built_means_unchanged(subject: Subject, tmp_path: Path) -> None:
    built = text_format.Parse(CONFIG, pb.ModelConfig())
    assert config_of(LENGTH_AWARE, subject, tmp_path / "copy") == built


def test_fifo_takes_eight_in_order_of_arrival(subject: Subject, tmp_path: Path) -> None:
    config = config_of(FIFO_8, subject, tmp_path / "copy")
    assert config.max_batch_size == 8
    assert config.HasField("dynamic_batching")
    assert set(config.parameters) == {"pad.input_ids", "batch_order"}
    assert config.parameters["batch_order"].string_value == "arrival"


def test_one_at_a_time_has_one_single_thread_worker_per_core(
    subject: Subject, tmp_path: Path
) -> None:
    config = config_of(ONE_BY_ONE, subject, tmp_path / "copy")
    assert not config.HasField("dynamic_batching")
    assert config.instance_group[0].count == len(os.sched_getaffinity(0))
    assert config.parameters["intra_op_thread_count"].string_value == "1"


def test_instances_and_the_servers_bound_are_set(subject: Subject, tmp_path: Path) -> None:
    assert config_of(so_many(2), subject, tmp_path / "two").instance_group[0].count == 2
    assert bounded(64).flags == ("--max-inflight-requests", "64")
