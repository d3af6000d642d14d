"""Label files: what they hold, and every way they can be wrong."""

from __future__ import annotations

from pathlib import Path

from trivet.config import ModelConfig, TensorSpec
from trivet.config_file import Faults
from trivet.model.labels import labels_of


def config(*files: str) -> ModelConfig:
    outputs = tuple(
        TensorSpec(name=f"O{place}", datatype="FP32", dims=(2,), label_filename=file)
        for place, file in enumerate(files)
    )
    return ModelConfig(name="m", outputs=outputs)


def test_each_line_is_a_label(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("cat\nbig dog\r\nmäuse")
    faults = Faults()
    labels = labels_of(config("", "labels/a.txt"), tmp_path, faults)
    assert labels == {"O1": ("cat", "big dog", "mäuse")}
    assert not faults


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    outside = tmp_path.parent / "outside"
    outside.write_text("secret")
    (tmp_path / "link").symlink_to(outside)
    faults = Faults()
    assert labels_of(config("latin", "missing", "link"), tmp_path, faults) == {}
    told = [str(fault) for fault in faults]
    assert told[0] == "m/config.pbtxt: output[0].label_filename: 'latin' is not UTF-8; convert it"
    assert told[1].startswith("m/config.pbtxt: output[1].label_filename: 'missing': No such file")
    assert "output[2].label_filename: 'link' lies outside of the model's folder" in told[2]
