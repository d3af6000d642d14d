"""`instance_group.rate_limiter`: read, refused with place and cure, and given back."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from trivet.config import InstanceGroup, ResourceNeed
from trivet.config_file import Faults, read_config, to_proto

WHERE = "m/config.pbtxt"


def read(rate_limiter: str) -> tuple[InstanceGroup | None, list[str]]:
    faults = Faults()
    text = f"instance_group {{ count: 2 rate_limiter {{ {rate_limiter} }} }}"
    config = read_config(text, WHERE, "m", faults)
    return config.instance_groups[0] if config else None, list(map(str, faults))


R1 = ResourceNeed(name="R1", count=4)
R2 = ResourceNeed(name="R2", count=1, is_global=True)
BOTH = 'resources { name: "R1" count: 4 } resources { name: "R2" global: true count: 1 }'


@pytest.mark.parametrize(
    ("written", "group"),
    [
        ("", InstanceGroup(count=2)),
        ("priority: 0", InstanceGroup(count=2)),
        ("priority: 3", InstanceGroup(count=2, priority=3)),
        (f"{BOTH} priority: 2", InstanceGroup(count=2, resources=(R1, R2), priority=2)),
    ],
)
def test_it_is_read_and_given_back(written: str, group: InstanceGroup) -> None:
    assert read(written) == (group, [])
    faults = Faults()
    config = read_config(f"instance_group {{ rate_limiter {{ {written} }} }}", WHERE, "m", faults)
    assert config
    again = read_config(text_format.MessageToString(to_proto(config)), WHERE, "m", faults)
    assert again
    assert again.instance_groups == config.instance_groups
    assert not faults


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("resources { count: 1 }", "resources[0].name: is missing; name the resource as"),
        (
            'resources { name: "R1" count: 1 } resources { name: "R1" count: 2 }',
            "resources[1].name: 'R1' is there already; write one of them",
        ),
        (
            'resources { name: "R1" }',
            "resources[0].count: is 0, and nothing would be taken; write 1 or more, or remove",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(written: str, fault: str) -> None:
    group, faults = read(written)
    assert group is None
    (told,) = faults
    assert told.startswith(f"{WHERE}: instance_group[0].rate_limiter.{fault}")
