"""A model that adds up what a sequence sends, as an ONNX graph with a state."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

CONFIG = """
backend: "onnxruntime"
max_batch_size: %(rows)d
input { name: "X" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "ID" data_type: %(id_type)s dims: [ 1 ] }
instance_group { count: 2 kind: KIND_CPU }
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  %(strategy)s
  control_input {
    name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] }
  }
  control_input { name: "CORRID" control { kind: CONTROL_SEQUENCE_CORRID data_type: %(id_type)s } }
  state {
    input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_FP32 dims: [ 1 ]
    initial_state { name: "hundred" data_type: TYPE_FP32 dims: [ 1 ] data_file: "hundred" }
  }
}
"""


def add_accumulator(
    folder: Path, *, rows: int, strategy: str, id_type: str = "TYPE_UINT64", mark: float = 0.5
) -> None:
    """Write a model of one version whose sequences begin at 100. mark: see `write_version`."""
    (folder / "initial_state").mkdir(parents=True)
    (folder / "initial_state" / "hundred").write_bytes(np.array([100], "<f4").tobytes())
    told = {"rows": rows, "strategy": strategy, "id_type": id_type}
    (folder / "config.pbtxt").write_text(CONFIG % told)
    write_version(folder / "1", rows=rows, id_type=id_type, mark=mark)


def write_version(folder: Path, *, rows: int, id_type: str = "TYPE_UINT64", mark: float) -> None:
    """SUM_OUT = SUM_IN + X; Y = SUM_OUT + mark * START; ID = CORRID."""
    shape = ["batch", 1] if rows else [1]
    value = partial(helper.make_tensor_value_info, shape=shape)
    id_element = getattr(TensorProto, id_type.removeprefix("TYPE_"))
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["SUM_IN", "X"], ["SUM_OUT"]),
            helper.make_node("Mul", ["START", "factor"], ["mark"]),
            helper.make_node("Add", ["SUM_OUT", "mark"], ["Y"]),
            helper.make_node("Identity", ["CORRID"], ["ID"]),
        ],
        "accumulator",
        [
            *(value(name, TensorProto.FLOAT) for name in ("X", "SUM_IN", "START")),
            value("CORRID", id_element),
        ],
        [*(value(name, TensorProto.FLOAT) for name in ("Y", "SUM_OUT")), value("ID", id_element)],
        [helper.make_tensor("factor", TensorProto.FLOAT, [], [mark])],
    )
    opset = [helper.make_opsetid("", 17)]
    folder.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "model.onnx")
