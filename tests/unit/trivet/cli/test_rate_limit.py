"""--rate-limit and --rate-limit-resource."""

from __future__ import annotations

import argparse

import pytest

from trivet.cli.flags.rate_limit import FLAGS, rate_limits, without_effect
from trivet.scheduling.rate_limit import Limit


def parsed(*written: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    for flag in FLAGS:
        flag.add_to(parser)
    return parser.parse_args(written)


def limits(*written: str) -> tuple[Limit, ...] | None:
    return rate_limits(parsed(*written))


def test_it_is_off_unless_it_is_asked_for() -> None:
    assert limits() is None
    assert limits("--rate-limit=off", "--rate-limit-resource=R1:4") is None
    assert limits("--rate-limit", "EXECUTION_COUNT") == ()


def test_resources_that_nobody_counts_are_told_to_have_no_effect() -> None:
    ((flag, text),) = without_effect(parsed("--rate-limit-resource=R1:4"))
    assert (flag, text) == (
        "--rate-limit-resource",
        "resources count with --rate-limit=execution_count only",
    )
    counting = parsed("--rate-limit=execution_count", "--rate-limit-resource=R1:4")
    assert not list(without_effect(counting))


def test_resources_are_given_on_each_device_or_on_one() -> None:
    written = ["--rate-limit=execution_count", "--rate-limit-resource=R1:10"]
    assert limits(*written, "--rate-limit-resource", "R2:5:0") == (
        Limit(name="R1", count=10),
        Limit(name="R2", count=5, device=0),
    )


@pytest.mark.parametrize("written", ["", "R1", ":4", "R1:", "R1:x", "R1:-1", "R1:4:x", "R1:1:2:3"])
def test_what_is_no_resource_is_refused(written: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=r"no resource|no whole number"):
        limits(f"--rate-limit-resource={written}")


def test_what_is_no_mode_is_refused() -> None:
    with pytest.raises(argparse.ArgumentError, match="'on' is no mode; give off or execution_c"):
        limits("--rate-limit=on")
