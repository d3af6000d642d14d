"""Which versions are wanted, and the order models load in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.config import ModelConfig, Step, VersionPolicy
from trivet.config_file import Faults
from trivet.repository.versions import (
    Held,
    Load,
    Unload,
    load_order,
    missing,
    next_action,
    wanted,
)


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


A, B = "revision a", "revision b"
SERVES_A, SERVES_B = Held(serving=A), Held(serving=B)


@pytest.mark.parametrize(
    ("desired", "held", "expected"),
    [
        ({}, {}, None),
        ({1: A}, {}, Load(1)),
        ({1: A}, {1: SERVES_A}, None),
        ({1: B}, {1: SERVES_A}, Load(1)),
        ({1: A, 2: A}, {}, Load(2)),  # the newest first
        ({1: A, 2: A}, {2: SERVES_A}, Load(1)),
        ({2: A}, {1: SERVES_A}, Load(2)),  # the new one is there before the old one goes
        ({2: A}, {1: SERVES_A, 2: SERVES_A}, Unload(1)),
        ({2: A}, {1: SERVES_A, 2: Held(failed=A)}, None),  # a broken one: the old one stays
        ({2: B}, {1: SERVES_A, 2: Held(failed=A)}, Load(2)),  # mended: tried again
        ({2: B}, {1: SERVES_A, 2: Held(serving=A, failed=B)}, None),
        ({2: A}, {1: SERVES_A, 2: Held(serving=A, failed=B)}, Unload(1)),
        ({2: A}, {2: SERVES_A, 3: Held(failed=B)}, Unload(3)),  # gone without having served
        ({2: A, 3: A}, {1: SERVES_A, 2: SERVES_A, 3: Held(failed=A)}, None),
        ({2: A, 3: A}, {0: Held(failed=A), 1: SERVES_A, 2: SERVES_A, 3: Held(failed=A)}, Unload(0)),
        ({}, {1: SERVES_A, 2: SERVES_B}, Unload(1)),  # the model is gone
        ({}, {2: SERVES_B}, Unload(2)),
    ],
)
def test_the_next_action(
    desired: dict[int, str], held: dict[int, Held], expected: Load | Unload | None
) -> None:
    assert next_action(desired, held) == expected


@given(
    st.dictionaries(st.integers(1, 4), st.sampled_from("ab")),
    st.dictionaries(st.integers(1, 4), st.builds(Held, serving=st.sampled_from(["", "a", "b"]))),
    st.sets(st.integers(1, 4)),
)
def test_acting_comes_to_an_end_and_what_loads_is_never_fewer_than_before(
    desired: dict[int, str], held: dict[int, Held], broken: set[int]
) -> None:
    served_before = any(have.serving for have in held.values())
    for _ in range(20):
        action = next_action(desired, held)
        if action is None:
            break
        if isinstance(action, Unload):
            del held[action.version]
        elif action.version in broken:
            before = held.get(action.version, Held())
            held[action.version] = replace(before, failed=desired[action.version])
        else:
            held[action.version] = Held(serving=desired[action.version])
        if served_before and desired:
            assert any(have.serving for have in held.values()), "there is always one that serves"
    else:
        raise AssertionError("it goes on for ever")
    if not broken:
        assert {version: have.serving for version, have in held.items()} == desired


def test_a_member_that_nobody_asked_for_is_told_apart_from_one_that_is_absent() -> None:
    faults = Faults()
    assert load_order([model("pipe", "there")], faults, idle=["there"]) == ()
    assert [fault.what for fault in faults] == ["model 'there' is not loaded"]
