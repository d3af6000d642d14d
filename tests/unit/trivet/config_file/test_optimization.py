"""The `optimization` block and profiles: read, written back, refused."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from trivet.config import Accelerator, ModelConfig
from trivet.config_file import Faults, read_config, to_proto

TEXT = """
backend: "onnxruntime"
optimization {
  graph { level: -1 }
  execution_accelerators {
    gpu_execution_accelerator: [
      { name: "tensorrt" parameters { key: "precision_mode" value: "FP16" } },
      { name: "cuda" }
    ]
    cpu_execution_accelerator: [ { name: "openvino" } ]
  }
}
instance_group: [ { kind: KIND_GPU profile: [ "2", "0", "2" ] } ]
"""


def read(text: str) -> tuple[ModelConfig | None, list[str]]:
    faults = Faults()
    config = read_config(text, "m/config.pbtxt", "m", faults)
    return config, [fault.where.removeprefix("m/config.pbtxt: ") for fault in faults]


def test_accelerators_keep_their_order_and_their_parameters() -> None:
    config, faults = read(TEXT)
    assert config is not None, faults
    assert config.gpu_accelerators == (
        Accelerator(name="tensorrt", parameters={"precision_mode": "FP16"}),
        Accelerator(name="cuda"),
    )
    assert config.cpu_accelerators == (Accelerator(name="openvino"),)
    assert config.graph_level == -1
    assert config.instance_groups[0].profiles == (2, 0)


def test_what_was_read_is_written_back() -> None:
    config, _ = read(TEXT)
    assert config is not None
    again, faults = read(text_format.MessageToString(to_proto(config)))
    assert (again, faults) == (config, [])
    plain, _ = read('backend: "b"')
    assert plain is not None
    assert not to_proto(plain).HasField("optimization")


@pytest.mark.parametrize(
    ("block", "place"),
    [
        ("optimization { graph { level: 3 } }", "optimization.graph.level"),
        ('instance_group { profile: "x" }', "instance_group[0].profile[0]"),
        (
            "optimization { execution_accelerators { cpu_execution_accelerator { } } }",
            "optimization.execution_accelerators.cpu_execution_accelerator[0].name",
        ),
        (
            "optimization { execution_accelerators { gpu_execution_accelerator: "
            '[ { name: "cuda" }, { name: "cuda" } ] } }',
            "optimization.execution_accelerators.gpu_execution_accelerator[1].name",
        ),
    ],
)
def test_nonsense_is_refused_by_its_place(block: str, place: str) -> None:
    assert read(f'backend: "b" {block}') == (None, [place])
