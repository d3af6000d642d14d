"""Queue policies and priorities of config.pbtxt: read, checked, given back."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from trivet.config import ModelConfig, Priorities, QueuePolicy, TimeoutAction
from trivet.config_file import Faults, read_config
from trivet.config_file.writer import to_proto

EVERYTHING = """
  priority_levels: 3 default_priority_level: 2
  default_queue_policy {
    max_queue_size: 8 default_timeout_microseconds: 500 allow_timeout_override: true
  }
  priority_queue_policy { key: 1 value { max_queue_size: 4 } }
  priority_queue_policy {
    key: 3 value { timeout_action: DELAY default_timeout_microseconds: 70 }
  }
"""


def read(batching: str) -> tuple[ModelConfig | None, Faults]:
    faults = Faults()
    text = f"max_batch_size: 8 dynamic_batching {{ {batching} }}"
    return read_config(text, "m/config.pbtxt", "m", faults), faults


def test_every_level_has_its_policy() -> None:
    config, _ = read(EVERYTHING)
    assert config is not None
    assert config.queue_policy == QueuePolicy(
        max_size=8, timeout_us=500, allow_timeout_override=True
    )
    assert config.priorities == Priorities(
        levels=3,
        default_level=2,
        policies={
            1: QueuePolicy(max_size=4),
            3: QueuePolicy(timeout_us=70, timeout_action=TimeoutAction.DELAY),
        },
    )


@pytest.mark.parametrize("batching", [EVERYTHING, "preserve_ordering: true", ""])
def test_what_is_written_out_reads_the_same(batching: str) -> None:
    config, _ = read(batching)
    assert config is not None
    text = text_format.MessageToString(to_proto(config))
    assert read_config(text, "m/config.pbtxt", "m", Faults()) == config


DELAY = "timeout_action: DELAY default_timeout_microseconds: 5"


@pytest.mark.parametrize(
    ("batching", "place", "what"),
    [
        ("priority_levels: 2", "default_priority_level", "is 0, must be 1 to priority_levels (2)"),
        ("priority_levels: 2 default_priority_level: 3", "default_priority_level", "is 3, must be"),
        ("default_priority_level: 1", "default_priority_level", "has no levels"),
        ("priority_queue_policy { key: 1 value { } }", "priority_queue_policy[1]", "no level 1"),
        (
            "priority_levels: 2 default_priority_level: 1"
            " priority_queue_policy { key: 0 value { } }",
            "priority_queue_policy[0]",
            "there is no level 0, priority_levels is 2",
        ),
        (
            "default_queue_policy { timeout_action: DELAY }",
            "default_queue_policy.timeout_action",
            "DELAY needs a timeout",
        ),
        (
            "priority_levels: 1 default_priority_level: 1"
            " priority_queue_policy { key: 1 value { timeout_action: DELAY } }",
            "priority_queue_policy[1].timeout_action",
            "DELAY needs a timeout",
        ),
        (
            f"preserve_ordering: true default_queue_policy {{ {DELAY} }}",
            "default_queue_policy.timeout_action",
            "DELAY contradicts preserve_ordering",
        ),
        (
            "preserve_ordering: true priority_levels: 2 default_priority_level: 1",
            "preserve_ordering",
            "would wait for the answers of lower ones",
        ),
    ],
)
def test_a_fault_names_field_cause_and_cure(batching: str, place: str, what: str) -> None:
    config, faults = read(batching)
    assert config is None
    (fault,) = faults
    assert fault.where == f"m/config.pbtxt: dynamic_batching.{place}"
    assert what in fault.what
    assert fault.cure


def with_limit(written: str) -> tuple[ModelConfig | None, Faults]:
    faults = Faults()
    text = f'parameters {{ key: "max_inflight_requests" value {{ string_value: "{written}" }} }}'
    return read_config(text, "m/config.pbtxt", "m", faults), faults


def test_a_model_may_bound_what_is_under_way() -> None:
    config, _ = with_limit("64")
    assert config is not None
    assert config.max_inflight_requests == 64
    text = text_format.MessageToString(to_proto(config))
    assert read_config(text, "m/config.pbtxt", "m", Faults()) == config


@pytest.mark.parametrize("written", ["-1", "many", "", "1.5", "9" * 10])
def test_a_bound_that_is_none_is_refused(written: str) -> None:
    config, faults = with_limit(written)
    assert config is None
    (fault,) = faults
    assert 'parameters["max_inflight_requests"]' in str(fault)
    assert f"'{written}' is no number of requests" in str(fault)
