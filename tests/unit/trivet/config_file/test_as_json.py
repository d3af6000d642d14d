"""The config as models in Python read it: Triton's names, and numbers that are numbers."""

from __future__ import annotations

import json

from trivet.config import BatchPolicy, InstanceGroup, InstanceKind, ModelConfig, TensorSpec
from trivet.config_file import to_json


def test_a_config_is_plain_values_under_the_files_own_names() -> None:
    config = ModelConfig(
        name="m",
        backend="python",
        max_batch_size=4,
        inputs=(TensorSpec(name="IN", datatype="BYTES", dims=(-1, 3)),),
        dynamic_batching=BatchPolicy(max_batch_size=4, max_queue_delay_us=250),
        instance_groups=(InstanceGroup(count=2, kind=InstanceKind.CPU),),
        parameters={"language": "en"},
        decoupled=True,
    )
    told = json.loads(json.dumps(to_json(config)))
    assert told["name"] == "m"
    assert told["max_batch_size"] == 4
    (tensor,) = told["input"]
    assert (tensor["name"], tensor["data_type"], tensor["dims"]) == ("IN", "TYPE_STRING", [-1, 3])
    assert "reshape" not in tensor
    assert told["output"] == []
    assert told["dynamic_batching"]["max_queue_delay_microseconds"] == 250
    assert told["instance_group"][0]["kind"] == "KIND_CPU"
    assert told["parameters"] == {"language": {"string_value": "en"}}
    assert told["model_transaction_policy"] == {"decoupled": True}


def test_what_models_look_up_without_asking_is_always_there() -> None:
    told = to_json(ModelConfig(name="m"))
    assert told["model_transaction_policy"] == {"decoupled": False}
    assert (told["input"], told["parameters"], told["platform"]) == ([], {}, "")
    assert "dynamic_batching" not in told
