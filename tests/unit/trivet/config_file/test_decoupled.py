"""model_transaction_policy: read, given back, and refused with what cannot go with it."""

from __future__ import annotations

import pytest

from trivet.config_file import Faults, read_config, to_proto

POLICY = "model_transaction_policy { decoupled: true } max_batch_size: 4"
INPUT = 'name: "a" data_type: TYPE_FP32 dims: [ -1 ]'


def test_it_is_read_and_given_back() -> None:
    config = read_config(POLICY, "m/config.pbtxt", "m", Faults())
    assert config and config.decoupled
    assert to_proto(config).model_transaction_policy.decoupled
    other = read_config("model_transaction_policy { }", "m/config.pbtxt", "m", Faults())
    assert other and not other.decoupled
    assert not to_proto(other).HasField("model_transaction_policy")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('platform: "ensemble"', "model_transaction_policy.decoupled: a pipeline gives one answer"),
        ("sequence_batching { }", "sequence_batching: a decoupled model runs each request alone"),
        ("response_cache { enable: true }", "response_cache.enable: a decoupled model's answers"),
        (
            "dynamic_batching { preserve_ordering: true }",
            "dynamic_batching.preserve_ordering: a decoupled model's answers leave as they come",
        ),
        (
            f"input {{ {INPUT} allow_ragged_batch: true }}",
            "model_transaction_policy.decoupled: a decoupled model runs each request alone",
        ),
    ],
)
def test_what_cannot_go_with_it_is_refused_by_name(text: str, place: str) -> None:
    faults = Faults()
    assert read_config(f"{POLICY} {text}", "m/config.pbtxt", "m", faults) is None
    assert any(str(fault).startswith(f"m/config.pbtxt: {place}") for fault in faults)
