"""What is seen of a repository on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.config_file import Faults
from trivet.errors import InvalidConfig
from trivet.repository.layout import ModelFolder, Snapshot, read_repositories


def make(root: Path, *paths: str) -> None:
    """Files of these names, and folders where a name ends in a slash."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            (root / path).write_text(f"text of {path}")


def look(*repositories: Path) -> Snapshot:
    faults = Faults()
    snapshot = read_repositories(repositories, faults)
    faults.raise_if_any()
    return snapshot


def test_a_models_folder_is_its_config_and_its_numbered_folders(tmp_path: Path) -> None:
    make(tmp_path, "bert/config.pbtxt", "bert/10/model.onnx", "bert/9/model.onnx", "bert/9/data/a")
    (folder,) = look(tmp_path).folders
    assert folder == ModelFolder(
        name="bert",
        path=tmp_path / "bert",
        config_text="text of bert/config.pbtxt",
        versions=(9, 10),
        filenames={9: ("data", "model.onnx"), 10: ("model.onnx",)},
    )
    assert folder.config_name == "bert/config.pbtxt"
    assert folder.version_path(9) == tmp_path / "bert" / "9"


def test_models_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    make(tmp_path, "one/b/1/", "one/C/1/", "two/a/1/", "one/d/")
    snapshot = look(tmp_path / "one", tmp_path / "two")
    assert [folder.name for folder in snapshot.folders] == ["C", "a", "b", "d"]
    assert snapshot.folder("a") is not None
    assert snapshot.folder("e") is None


def test_hidden_entries_and_files_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "README.md", ".git/1/", "bert/1/.cache", "bert/.2/", "bert/3", "bert/labels.txt")
    (folder,) = look(tmp_path).folders
    assert (folder.name, folder.versions, folder.filenames) == ("bert", (1,), {1: ()})
    assert folder.config_text is None
    assert folder.notes == ()


@pytest.mark.parametrize("name", ["01", "-1", "0", "abc", "1.0", "1 ", "٣", "9" * 19])
def test_a_folder_that_is_no_version_is_noted(tmp_path: Path, name: str) -> None:
    make(tmp_path, f"bert/{name}/model.onnx", "bert/2/")
    (folder,) = look(tmp_path).folders
    assert folder.versions == (2,)
    (note,) = folder.notes
    assert note.startswith(f"bert/{name}: ")


@pytest.mark.parametrize("name", ["bad\nname", "a:b", "-x", "ü", "a*"])
def test_a_name_that_cannot_be_served_is_refused_and_the_rest_read(
    tmp_path: Path, name: str
) -> None:
    make(tmp_path, f"{name}/1/", "good/1/")
    faults = Faults()
    snapshot = read_repositories([tmp_path], faults)
    assert [folder.name for folder in snapshot.folders] == ["good"]
    (fault,) = faults
    assert repr(name) in fault.what
    assert "\n" not in str(fault)


def test_one_name_in_two_repositories_is_a_fault_that_names_both(tmp_path: Path) -> None:
    make(tmp_path, "one/bert/1/", "two/bert/2/")
    faults = Faults()
    snapshot = read_repositories([tmp_path / "one", tmp_path / "two"], faults)
    assert [folder.versions for folder in snapshot.folders] == [(1,)]
    (fault,) = faults
    assert str(tmp_path / "one") in fault.what
    assert str(tmp_path / "two") in fault.where


def test_every_repository_that_cannot_be_read_is_told_at_once(tmp_path: Path) -> None:
    make(tmp_path, "file", "bert/config.pbtxt", "bert/1/")
    wrong = [tmp_path / "absent", tmp_path / "file", tmp_path / "bert"]
    with pytest.raises(InvalidConfig) as error:
        look(tmp_path, *wrong)
    assert [fault.where for fault in error.value.faults] == [str(path) for path in wrong]
    said = [fault.what for fault in error.value.faults]
    assert said[0] == "there is no such model repository"
    assert "this is a file" in said[1]
    assert "own folder" in said[2]


def test_a_config_that_is_no_text_is_a_fault_of_its_model(tmp_path: Path) -> None:
    make(tmp_path, "bert/1/", "good/1/")
    (tmp_path / "bert" / "config.pbtxt").write_bytes(b"name: '\xff'")
    faults = Faults()
    assert [f.name for f in read_repositories([tmp_path], faults).folders] == ["good"]
    (fault,) = faults
    assert fault.where == "bert/config.pbtxt"


def test_an_empty_repository_is_empty(tmp_path: Path) -> None:
    assert look(tmp_path) == Snapshot()
