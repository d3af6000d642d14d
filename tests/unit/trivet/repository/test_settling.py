"""When a folder that changes is taken. Looks come a second apart; two seconds are quiet enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trivet.repository.layout import ModelFolder, Snapshot
from trivet.repository.settling import Still, settle, taken_at_once

SECOND = 1_000_000_000


def folder(
    *versions: int, content: str = "a", whole: frozenset[int] = frozenset(), **more: bool
) -> ModelFolder:
    return ModelFolder(
        name="echo",
        path=Path("echo"),
        versions=versions,
        prints={version: f"{content}{version}" for version in versions},
        whole=whole,
        is_whole=more.get("is_whole", False),
    )


ONE, TWO = folder(1), folder(1, 2)
# What every look sees -> the versions that are taken then; () where the model is not known.
CASES: dict[str, list[tuple[ModelFolder | None, tuple[int, ...]]]] = {
    "still": [(ONE, (1,)), (ONE, (1,))],
    "copied in": [(TWO, (1,)), (TWO, (1,)), (TWO, (1, 2))],
    "copied in slowly": [
        (folder(1, 2, content="a"), (1,)),
        (replace(TWO, prints={1: "a1", 2: "more"}), (1,)),
        (replace(TWO, prints={1: "a1", 2: "all"}), (1,)),
        (replace(TWO, prints={1: "a1", 2: "all"}), (1,)),
        (replace(TWO, prints={1: "a1", 2: "all"}), (1, 2)),
    ],
    "renamed in": [(folder(1, 2, whole=frozenset({2})), (1, 2))],
    "one renamed in and one copied": [
        (folder(1, 2, 3, whole=frozenset({2})), (1,)),
        (folder(1, 2, 3, whole=frozenset({2})), (1,)),
        (folder(1, 2, 3, whole=frozenset({2})), (1, 2, 3)),
    ],
    "a version removed": [(folder(), ())],
    "the model removed": [(None, ())],
    "changed and changed back": [(TWO, (1,)), (ONE, (1,)), (TWO, (1,)), (TWO, (1,))],
    "touched": [(folder(1), (1,))],
}


@pytest.mark.parametrize("looks", CASES.values(), ids=CASES)
def test_a_known_model(looks: list[tuple[ModelFolder | None, tuple[int, ...]]]) -> None:
    still = taken_at_once(Snapshot((ONE,)))
    for second, (seen, versions) in enumerate(looks):
        looked = Snapshot((seen,) if seen else ())
        snapshot, still = settle(looked, still, second * SECOND, 2 * SECOND)
        taken = snapshot.folder("echo")
        assert (taken.versions if taken else ()) == versions, f"at the look {second}"


def test_a_new_model_is_taken_when_it_was_still_for_long_enough() -> None:
    still, taken = Still(), []
    for second in range(4):
        snapshot, still = settle(Snapshot((ONE,)), still, second * SECOND, 2 * SECOND)
        taken.append(len(snapshot.folders))
    assert taken == [0, 0, 1, 1]


def test_a_new_model_that_came_in_one_piece_is_taken_at_once() -> None:
    came = folder(1, is_whole=True)
    snapshot, still = settle(Snapshot((came,)), Still(), 0, 2 * SECOND)
    assert snapshot.folders == (came,)
    assert not still.moving


def test_a_config_that_is_being_written_is_not_read() -> None:
    still = taken_at_once(Snapshot((ONE,)))
    half, full = (
        replace(ONE, config_text="max_batch"),
        replace(ONE, config_text="max_batch_size: 1"),
    )
    for second, (seen, text) in enumerate(
        [(half, None), (full, None), (full, None), (full, "max_batch_size: 1")]
    ):
        snapshot, still = settle(Snapshot((seen,)), still, second * SECOND, 2 * SECOND)
        assert snapshot.folders[0].config_text == text
        assert bool(still.moving) == (second < 3)
