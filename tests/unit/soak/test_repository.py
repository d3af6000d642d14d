"""What a soak changes on disk is whole at every moment, and does not pile up."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from tests.harness.repositories import add_model
from tests.soak.repository import VERSIONED, Changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    add_model(folder, "versioned", VERSIONED, versions=(1,))
    add_model(folder, "come_and_go")
    return folder


def test_versions_are_new_and_the_three_newest_stay(folder: Path) -> None:
    changes = Changes(folder)
    made = [changes.new_version() for _ in range(12)]
    assert made == sorted(set(made))
    found = {path.name for path in (folder / "versioned").iterdir() if path.is_dir()}
    assert found == {str(number) for number in made[-3:]}


def test_a_version_adds_its_number(folder: Path) -> None:
    number = Changes(folder).new_version()
    session = onnxruntime.InferenceSession(folder / "versioned" / str(number) / "model.onnx")
    (out,) = session.run(None, {"IN": [[1.0, 2.0]]})
    assert out.tolist() == [[number + 1, number + 2]]


def test_a_config_changes_each_time_and_grows_by_one_line(folder: Path) -> None:
    path, changes = folder / "come_and_go" / "config.pbtxt", Changes(folder)
    before, seen = path.read_text(), set()
    for _ in range(12):
        changes.new_config("come_and_go")
        seen.add(path.read_text())
    assert len(seen) == 12
    assert all(text.startswith(before) and text.count("soak.change") == 1 for text in seen)


def test_models_go_and_come_back_whole(folder: Path) -> None:
    changes, model = Changes(folder), folder / "come_and_go"
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    for _ in range(2):
        changes.take_away("come_and_go")
        changes.break_model()
        assert not model.exists()
        assert (folder / "broken" / "config.pbtxt").exists()
        changes.bring_back("come_and_go")
        changes.remove_broken()
        assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
