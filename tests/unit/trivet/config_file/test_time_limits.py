"""How long a model's engine may take, as its config says it."""

from __future__ import annotations

import pytest

from tests.harness.repositories import fake_config, pipeline_config
from trivet.config import ModelConfig
from trivet.config_file import Faults, read_config


def read(text: str) -> tuple[ModelConfig | None, list[str]]:
    faults = Faults()
    config = read_config(text, "m/config.pbtxt", "m", faults)
    return config, [str(fault) for fault in faults]


def test_without_a_word_it_is_the_servers_to_say() -> None:
    config, faults = read(fake_config())
    assert config
    assert (config.execution_timeout_s, config.load_timeout_s, faults) == (None, None, [])


@pytest.mark.parametrize(("written", "seconds"), [("30", 30.0), ("0.5", 0.5), ("0", 0.0)])
def test_seconds_are_read_and_none_is_no_limit(written: str, seconds: float) -> None:
    config, _ = read(fake_config(execution_timeout_seconds=written, load_timeout_seconds=written))
    assert config
    assert (config.execution_timeout_s, config.load_timeout_s) == (seconds, seconds)


@pytest.mark.parametrize("written", ["-1", "soon", "", "nan", "inf", "1e-9", "1e9"])
def test_what_is_no_number_of_seconds_is_refused_with_the_place_and_the_cure(written: str) -> None:
    config, faults = read(fake_config(load_timeout_seconds=written))
    assert config is None
    assert faults == [
        f"m/config.pbtxt: parameters[\"load_timeout_seconds\"]: '{written}' is no number of seconds"
        " from 0.001 to 1e+06; write one, or 0 for no limit"
    ]


def test_a_pipeline_has_none() -> None:
    parameter = 'parameters { key: "execution_timeout_seconds" value { string_value: "3" } }'
    _, (fault,) = read(pipeline_config(["a"]) + parameter)
    assert "a pipeline computes nothing itself; set it on the pipeline's members" in fault
