"""Files that clients send: which names are taken, and that nothing is written elsewhere."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import InvalidConfig
from trivet.repository.overrides import Overrides, Upload, discard, uploads_of

REFUSED = {
    "traversal": "file:1/../../etc/passwd",
    "traversal at the front": "file:../1/model.onnx",
    "the folder above": "file:1/..",
    "the folder itself": "file:1/.",
    "absolute": "file:/etc/passwd",
    "absolute below a version": "file:1//etc/passwd",
    "a device": "file:/dev/zero",
    "no version": "file:model.onnx",
    "no name": "file:1/",
    "nothing": "file:",
    "a version with a zero": "file:01/model.onnx",
    "a version below": "file:-1/model.onnx",
    "a version in other digits": "file:٣/model.onnx",
    "NUL": "file:1/model\0.onnx",
    "a new line": "file:1/model\n.onnx",
    "a backslash": "file:1/..\\..\\model.onnx",
    "hidden": "file:1/.bashrc",
    "an over-long part": f"file:1/{'a' * 256}",
    "an over-long path": f"file:1/{'/'.join(['a' * 200] * 6)}",
    "an over-long version": f"file:{'1' * 19}/model.onnx",
}


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_a_name_that_is_no_file_of_a_version_is_refused(name: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        uploads_of({"file:1/model.onnx": b"", name: b""}, "echo")
    (fault,) = refused.value.faults
    assert fault.where.startswith("echo: parameter ")
    assert len(str(fault)) < 300


@pytest.mark.parametrize("name", ["file:1/a", "file:12/sub/model.bin", "file:3/weights v2+x@y.bin"])
def test_files_of_versions_are_taken(name: str) -> None:
    (upload,) = uploads_of({name: b"x"}, "echo")
    assert upload == Upload(tuple(name.removeprefix("file:").split("/")), b"x")


def test_a_file_below_another_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="lies below another file"):
        uploads_of({"file:1/a": b"", "file:1/a/b": b""}, "echo")


def test_files_go_to_a_private_folder_that_is_removed(tmp_path: Path) -> None:
    overrides = Overrides()
    uploads = uploads_of({"file:1/model.onnx": b"one", "file:2/data/w": b"two"}, "echo")
    folder = overrides.write("echo", "max_batch_size: 3", uploads)
    assert (folder.name, folder.versions, folder.config_text) == (
        "echo",
        (1, 2),
        "max_batch_size: 3",
    )
    root = folder.path.parent
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert (folder.path / "1" / "model.onnx").read_bytes() == b"one"
    assert (folder.path / "2" / "data" / "w").read_bytes() == b"two"
    assert overrides.keep("echo", folder) is None
    assert overrides.keep("echo", None) == root
    discard(root)
    assert not root.exists()


def test_nothing_is_left_at_the_end() -> None:
    overrides = Overrides()
    folder = overrides.write("echo", "", uploads_of({"file:1/a": b""}, "echo"))
    overrides.keep("echo", folder)
    overrides.close()
    assert not folder.path.parent.exists()


@given(st.text(max_size=40), st.binary(max_size=3))
def test_whatever_the_name_nothing_is_written_outside_of_its_folder(
    name: str, content: bytes
) -> None:
    try:
        uploads = uploads_of({f"file:{name}": content}, "echo")
    except InvalidConfig:
        return
    overrides = Overrides()
    try:
        folder = overrides.write("echo", "", uploads)
    except OSError:
        return
    try:
        files = [path for path in folder.path.rglob("*") if path.is_file()]
        assert [file.read_bytes() for file in files] == [content]
        assert not any(path.is_symlink() for path in folder.path.rglob("*"))
    finally:
        discard(folder.path.parent)


@given(st.text("./\\1a\0~", max_size=12))
def test_whatever_is_taken_stays_below_its_version(name: str) -> None:
    try:
        (upload,) = uploads_of({f"file:{name}": b""}, "echo")
    except InvalidConfig:
        return
    assert Path("/x", *upload.parts).resolve().is_relative_to(Path("/x", upload.parts[0]))
