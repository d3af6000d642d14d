"""Which versions are wanted, and the order models load in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.config import ModelConfig, Step, VersionPolicy
from trivet.config_file import Faults
from trivet.repository.versions import load_order, missing, wanted


@pytest.mark.parametrize(
    ("policy", "available", "expected"),
    [
        (VersionPolicy(latest=1), [1, 2, 10], (10,)),
        (VersionPolicy(latest=2), [10, 1, 2], (2, 10)),
        (VersionPolicy(latest=9), [1, 2], (1, 2)),
        (VersionPolicy(latest=1), [], ()),
        (VersionPolicy(), [3, 1], (1, 3)),
        (VersionPolicy(specific=(1, 3, 7)), [1, 2, 3], (1, 3)),
        (VersionPolicy(specific=(7,)), [1], ()),
    ],
)
def test_the_policy_picks_versions(
    policy: VersionPolicy, available: list[int], expected: tuple[int, ...]
) -> None:
    assert wanted(policy, available) == expected


def test_versions_that_are_named_but_absent_are_missing() -> None:
    assert missing(VersionPolicy(specific=(7, 1, 5)), [1, 2]) == (5, 7)
    assert missing(VersionPolicy(latest=3), [1]) == ()


def model(name: str, *members: str) -> ModelConfig:
    steps = tuple(
        Step(model=member, version=None, input_map={}, output_map={}) for member in members
    )
    return ModelConfig(name=name, platform="ensemble" if members else "", steps=steps)


def order(*configs: ModelConfig, faulty: tuple[str, ...] = ()) -> tuple[tuple[str, ...], list[str]]:
    """The order, and the faults as "where: what"."""
    faults = Faults()
    names = load_order(configs, faults, faulty)
    return names, [f"{fault.where}: {fault.what}" for fault in faults]


def test_members_come_before_their_pipelines() -> None:
    configs = (model("a", "b", "z"), model("b", "z", "y"), model("y"), model("z"), model("x"))
    names, faults = order(*configs)
    assert not faults
    assert sorted(names) == ["a", "b", "x", "y", "z"]
    assert names.index("a") > names.index("b") > max(names.index("y"), names.index("z"))
    assert order(*reversed(configs)) == (names, faults), "the order does not hang on the input's"


def test_a_pipeline_without_a_member_is_named_and_left_out() -> None:
    assert order(model("pipe", "here", "gone"), model("here")) == (
        ("here",),
        [
            "pipe/config.pbtxt: ensemble_scheduling.step[1].model_name: there is no model 'gone'",
        ],
    )


def test_a_member_that_is_faulty_itself_is_told_apart_from_one_that_is_absent() -> None:
    names, faults = order(model("pipe", "bad"), faulty=("bad",))
    assert names == ()
    assert faults == [
        "pipe/config.pbtxt: ensemble_scheduling.step[0].model_name: model 'bad' cannot be loaded"
    ]


def test_what_needs_a_pipeline_that_cannot_load_cannot_either() -> None:
    names, faults = order(model("outer", "inner"), model("inner", "gone"))
    assert names == ()
    assert faults == [
        "inner/config.pbtxt: ensemble_scheduling.step[0].model_name: there is no model 'gone'",
        "outer/config.pbtxt: ensemble_scheduling.step[0].model_name:"
        " model 'inner' cannot be loaded",
    ]


def test_every_circle_is_named() -> None:
    names, faults = order(
        model("a", "b"), model("b", "c"), model("c", "a"), model("self", "self"), model("x")
    )
    assert names == ("x",)
    circles = [fault.partition("in a circle: ")[2] for fault in faults]
    assert len(circles) == 2
    assert circles[0] in {"a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"}
    assert circles[1] == "self -> self"


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdefg"), max_size=3)))
def test_what_is_in_the_order_stands_after_all_it_needs(needs: dict[str, set[str]]) -> None:
    names, faults = order(*(model(name, *sorted(members)) for name, members in needs.items()))
    for position, name in enumerate(names):
        assert needs[name] <= set(names[:position])
    left_out = needs.keys() - set(names)
    assert all(needs[name] - set(names) for name in left_out), "nothing is left out without need"
    assert len(faults) >= (1 if left_out else 0)
