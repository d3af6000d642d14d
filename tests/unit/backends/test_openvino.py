"""The OpenVINO backend on its engine: what it tells of a model, what it refuses, how it fails."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.harness.artifacts import write_graph, write_pooling_graph
from tests.harness.openvino_artifacts import converted, needs_openvino, write_pooling_model
from tests.unit.workshop.checkpoints import TINY, Recipe, random_weights
from trivet.backend.contract import Batch, Instance, LoadContext, Rows
from trivet.backend.cores import Cores
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import EngineFailed, InvalidConfig, InvalidInput
from trivet_backends.openvino import OpenVinoBackend
from trivet_backends.openvino.backend import OpenVinoArtifact
from trivet_backends.workshop import precision as workshop
from trivet_backends.workshop.options import GraphOptions, Precision, Task

pytestmark = needs_openvino

value_info = helper.make_tensor_value_info
WIDTH = 256


def open_model(folder: Path, cores: int = 2, **config: Any) -> OpenVinoArtifact:
    shared = Cores(cores)
    context = LoadContext(version=1, path=folder, where="m/1", threads=cores, cores=shared)
    return OpenVinoBackend().open(ModelConfig(name="m", **config), context)


def execute(instance: Instance, **inputs: np.ndarray) -> Any:
    (answer,) = instance.execute(Batch([Rows(inputs)], time.monotonic_ns))
    return answer.outputs


def fault_of(folder: Path, **config: Any) -> Any:
    with pytest.raises(InvalidConfig) as refused:
        open_model(folder, **config)
    assert str(folder) not in refused.value.message
    assert "src/" not in refused.value.message
    (fault,) = refused.value.faults
    return fault


def spec(name: str, datatype: str, *dims: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, dims=dims)


def identity(folder: Path, element: int, shape: list[Any]) -> Path:
    return write_graph(
        folder / "model.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [value_info("x", element, shape)],
        [value_info("y", element, shape)],
    )


def product(folder: Path, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """y = x @ weights, as model.onnx; returns the weights. x: FP32 [batch, width]."""
    weights = np.random.default_rng(seed).normal(size=(width, width)).astype(np.float32)
    write_graph(
        folder / "model.onnx",
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        [value_info("x", TensorProto.FLOAT, ["batch", width])],
        [value_info("y", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return weights


def product_error(folder: Path, weights: np.ndarray, **config: Any) -> float:
    """The largest difference to numpy, relative to the largest number."""
    y = spec("y", "FP32", len(weights))
    artifact = open_model(folder, outputs=(y,), **config)
    instance = artifact.instance(ModelConfig(name="m", outputs=(y,)))
    x = np.random.default_rng(1).normal(size=(5, len(weights))).astype(np.float32)
    found, expected = execute(instance, x=x)["y"], x.astype(np.float64) @ weights
    artifact.close()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def private_mib() -> int:
    """Memory that is this process's own, not that of mapped files."""
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("Anonymous:"))


@pytest.mark.parametrize("name", ["model.xml", "model.onnx"])
def test_the_signature_has_full_shapes_and_finds_what_dimensions_agree(
    tmp_path: Path, name: str
) -> None:
    write_pooling_graph(tmp_path / "model.onnx")
    write_pooling_model(tmp_path)
    told = open_model(tmp_path, default_model_filename=name).signature
    tokens = ("input_ids.0", "input_ids.1")
    assert told.inputs == tuple(
        TensorSpec(name=input_name, datatype="INT64", dims=(-1, -1), symbols=tokens)
        for input_name in ("input_ids", "attention_mask")
    )
    assert told.outputs == (
        TensorSpec(name="hidden", datatype="FP32", dims=(-1, -1, 4), symbols=(*tokens, "")),
        TensorSpec(name="embedding", datatype="FP32", dims=(-1, 4), symbols=("input_ids.0", "")),
    )


def test_dimensions_that_may_differ_have_different_symbols(tmp_path: Path) -> None:
    write_graph(
        tmp_path / "model.onnx",
        [helper.make_node("MatMul", ["x", "y"], ["z"])],
        [
            value_info("x", TensorProto.FLOAT, ["rows", "inner"]),
            value_info("y", TensorProto.FLOAT, ["inner", "columns"]),
        ],
        [value_info("z", TensorProto.FLOAT, ["rows", "columns"])],
    )
    told = open_model(tmp_path, default_model_filename="model.onnx").signature
    assert [tensor.symbols for tensor in told.inputs] == [("x.0", "x.1"), ("x.1", "y.1")]
    assert [tensor.symbols for tensor in told.outputs] == [("x.0", "y.1")]


@pytest.mark.parametrize(
    ("element", "datatype", "dtype"),
    [
        (TensorProto.FLOAT16, "FP16", np.float16),
        (TensorProto.DOUBLE, "FP64", np.float64),
        (TensorProto.UINT8, "UINT8", np.uint8),
        (TensorProto.INT32, "INT32", np.int32),
        (TensorProto.BOOL, "BOOL", np.bool_),
    ],
)
def test_numbers_of_every_type_go_through(
    tmp_path: Path, element: int, datatype: str, dtype: type[Any]
) -> None:
    identity(tmp_path, element, ["batch", "n"])
    artifact = open_model(tmp_path, default_model_filename="model.onnx")
    instance = artifact.instance(ModelConfig(name="m", outputs=(spec("y", datatype, -1),)))
    array = np.array([[0, 1, 1]], dtype=dtype)
    array.flags.writeable = False  # as a request's arrays are
    np.testing.assert_array_equal(execute(instance, x=array)["y"], array, strict=True)


def test_an_answer_stays_as_it_is_when_the_next_is_computed(tmp_path: Path) -> None:
    identity(tmp_path, TensorProto.FLOAT, ["batch", "n"])
    artifact = open_model(tmp_path, default_model_filename="model.onnx")
    instance = artifact.instance(ModelConfig(name="m", outputs=(spec("y", "FP32", -1),)))
    first = execute(instance, x=np.ones((1, 3), np.float32))["y"]
    execute(instance, x=np.zeros((1, 3), np.float32))
    assert first.tolist() == [[1, 1, 1]]


def test_a_type_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    identity(tmp_path, TensorProto.BFLOAT16, ["n"])
    with pytest.raises(InvalidConfig) as refused:
        open_model(tmp_path, default_model_filename="model.onnx")
    assert [fault.where for fault in refused.value.faults] == [
        "m/1/model.onnx: tensor 'x'",
        "m/1/model.onnx: tensor 'y'",
    ]
    assert "bf16" in refused.value.message


def test_fp32_is_computed_in_fp32_although_the_engine_would_take_bf16(tmp_path: Path) -> None:
    weights = product(tmp_path)
    assert product_error(tmp_path, weights, default_model_filename="model.onnx") < 1e-6


def test_another_precision_is_taken_where_asked_for_and_refused_where_absent(
    tmp_path: Path,
) -> None:
    import openvino

    weights = product(tmp_path)
    known = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision, capability in (("bf16", "BF16"), ("f16", "FP16")):
        config: dict[str, Any] = {
            "default_model_filename": "model.onnx",
            "parameters": {"INFERENCE_PRECISION_HINT": precision},
        }
        if capability in known:
            assert 1e-6 < product_error(tmp_path, weights, **config) < 2e-2
        else:
            assert "does not compute in" in fault_of(tmp_path, **config).what


def fp16(folder: Path) -> None:
    import openvino

    model = openvino.Core().read_model(folder / "model.onnx")
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=True)


def bf16(folder: Path) -> None:
    import openvino

    _replaced(folder, lambda ops, weights: ops.constant(weights.data, dtype=openvino.Type.bf16))


def int8_static(folder: Path) -> None:
    """As NNCF writes it: weights and activations go through FakeQuantize."""
    import openvino
    from openvino import opset13 as ops

    model = openvino.Core().read_model(folder / "model.onnx")
    (node,) = [op for op in model.get_ordered_ops() if op.get_type_name() == "MatMul"]
    for index, limit in ((0, 4.0), (1, 5.0)):
        bounds = [ops.constant(np.float32(sign * limit)) for sign in (-1, 1)] * 2
        rounded = ops.fake_quantize(node.input_value(index), *bounds, 255)
        node.input(index).replace_source_output(rounded.output(0))
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


def _replaced(folder: Path, new: Callable[[Any, Any], Any]) -> None:
    """Save model.xml with its weights as `new` makes them."""
    import openvino
    from openvino import opset13 as ops

    model = openvino.Core().read_model(folder / "model.onnx")
    (node,) = [op for op in model.get_ordered_ops() if op.get_type_name() == "MatMul"]
    weights = ops.convert(new(ops, node.input_value(1).get_node()), "f32")
    node.input(1).replace_source_output(weights.output(0))
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


@pytest.mark.parametrize(
    ("write", "bytes_each", "error"),
    [(fp16, 2, 1e-3), (bf16, 2, 1e-2), (int8_static, 4, 0.05)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_models_of_every_precision_are_opened(
    tmp_path: Path, write: Callable[[Path], None], bytes_each: int, error: float
) -> None:
    weights = product(tmp_path)
    write(tmp_path)
    size = (tmp_path / "model.bin").stat().st_size
    assert size == pytest.approx(weights.size * bytes_each, rel=0.01)
    assert 0 < product_error(tmp_path, weights) < error


def test_rows_that_a_table_does_not_have_are_the_callers_fault(tmp_path: Path) -> None:
    write_pooling_model(tmp_path)
    instance = open_model(tmp_path).instance(
        ModelConfig(name="m", outputs=(spec("embedding", "FP32", 4),))
    )
    mask = np.array([[1, 1]])
    for wrong, told in ((50, 50), (-51, -51), (2**31 - 1, 2**24), (-(2**31), -(2**24))):
        with pytest.raises(InvalidInput, match=f"row {told} of the model's table"):
            execute(instance, input_ids=np.array([[1, wrong]]), attention_mask=mask)
    from_the_end = execute(instance, input_ids=np.array([[1, -1]]), attention_mask=mask)
    last = execute(instance, input_ids=np.array([[1, 49]]), attention_mask=mask)
    np.testing.assert_array_equal(from_the_end["embedding"], last["embedding"])


@pytest.mark.parametrize("wrong", [2**31, 2**32 + 1, -(2**31) - 1])
def test_a_number_that_the_engine_would_change_is_refused(tmp_path: Path, wrong: int) -> None:
    write_pooling_model(tmp_path)
    instance = open_model(tmp_path).instance(
        ModelConfig(name="m", outputs=(spec("embedding", "FP32", 4),))
    )
    with pytest.raises(InvalidInput, match=f"'input_ids': .* 32 bits, which {wrong} does not fit"):
        execute(instance, input_ids=np.array([[1, wrong]]), attention_mask=np.array([[1, 1]]))


@pytest.mark.parametrize("task", [Task.EMBED, Task.FILL_MASK])
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_a_text_longer_than_the_positions_of_a_bert_is_refused(
    tmp_path: Path, task: Task, precision: Precision
) -> None:
    options = GraphOptions(task=task, candidates=5)
    workshop.write_graph(TINY, random_weights(Recipe()), options, precision, tmp_path / "model.xml")
    artifact = open_model(tmp_path)
    outputs = artifact.signature.outputs
    instance = artifact.instance(ModelConfig(name="m", outputs=outputs))
    masks = {"mask_positions": np.array([[1]])} if task is Task.FILL_MASK else {}

    def run(tokens: int, token_id: int = 7) -> Any:
        ids = np.full((1, tokens), token_id)
        ones = np.ones_like(ids)
        types = np.zeros_like(ids)
        return execute(instance, input_ids=ids, attention_mask=ones, token_type_ids=types, **masks)

    assert set(run(TINY.max_positions)) == {output.name for output in outputs}
    with pytest.raises(InvalidInput, match=f"has {TINY.max_positions};"):
        run(TINY.max_positions + 1)
    with pytest.raises(InvalidInput, match=f"row {TINY.vocab_size} .* has {TINY.vocab_size};"):
        run(5, TINY.vocab_size)


def test_a_missing_input_is_refused_and_never_that_of_the_request_before(tmp_path: Path) -> None:
    write_pooling_model(tmp_path)
    instance = open_model(tmp_path).instance(
        ModelConfig(name="m", outputs=(spec("embedding", "FP32", 4),))
    )
    ids = np.array([[1, 2]])
    execute(instance, input_ids=ids, attention_mask=np.array([[1, 0]]))
    with pytest.raises(InvalidInput, match="send attention_mask too"):
        execute(instance, input_ids=ids)


def test_an_engine_failure_tells_the_cause_alone(tmp_path: Path) -> None:
    write_pooling_model(tmp_path)
    instance = open_model(tmp_path).instance(
        ModelConfig(name="m", outputs=(spec("embedding", "FP32", 4),))
    )
    with pytest.raises(EngineFailed) as failed:
        execute(instance, input_ids=np.array([[1, 1, 1]]), attention_mask=np.array([[1, 1]]))
    assert failed.value.message.startswith("openvino: [CPU] Multiply node with name 'kept'")
    assert "src/" not in failed.value.message


def test_an_xml_without_its_weights_is_refused(tmp_path: Path) -> None:
    write_pooling_model(tmp_path)
    (tmp_path / "model.bin").unlink()
    fault = fault_of(tmp_path)
    assert (fault.where, fault.what) == ("m/1/model.bin", "no such file")


def test_who_empties_a_file_that_is_served_harms_nobody(tmp_path: Path) -> None:
    """Were it mapped, this would end the process."""
    write_pooling_model(tmp_path)
    instance = open_model(tmp_path).instance(
        ModelConfig(name="m", outputs=(spec("embedding", "FP32", 4),))
    )
    inputs = {"input_ids": np.array([[1, 2]]), "attention_mask": np.array([[1, 1]])}
    expected = execute(instance, **inputs)["embedding"]
    (tmp_path / "model.bin").write_bytes(b"")
    np.testing.assert_array_equal(execute(instance, **inputs)["embedding"], expected)


def test_cut_off_files_are_refused(tmp_path: Path) -> None:
    path = write_pooling_model(tmp_path)
    weights, graph = path.with_suffix(".bin"), path.read_text()
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "Incorrect weights in bin file" in fault_of(tmp_path).what
    weights.write_bytes(whole)
    path.write_text(graph[: len(graph) // 2])
    assert fault_of(tmp_path).where == "m/1/model.xml"
    path.write_text(graph.replace('"Gather"', '"Sing"'))
    assert "operation with type: Sing" in fault_of(tmp_path).what


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_what_a_broken_file_holds_is_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).write_text("confidential\n" * 20)
    (tmp_path / "model.bin").touch()
    assert fault_of(tmp_path, default_model_filename=name).where == f"m/1/{name}"
    assert "confidential" not in "".join(capfd.readouterr())


def test_an_empty_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    assert fault_of(tmp_path, default_model_filename="model.onnx").what == "it has no outputs"


def test_inputs_take_the_dims_of_the_config_where_asked_to(tmp_path: Path) -> None:
    identity(tmp_path, TensorProto.FLOAT, [1, 3])
    config: dict[str, Any] = {
        "default_model_filename": "model.onnx",
        "max_batch_size": 8,
        "inputs": (spec("x", "FP32", 3),),
    }
    assert open_model(tmp_path, **config).signature.inputs[0].dims == (1, 3)
    reshape = {"RESHAPE_IO_LAYERS": "YES"}
    assert open_model(tmp_path, **config, parameters=reshape).signature.inputs[0].dims == (-1, 3)
    strange = {**config, "inputs": (spec("z", "FP32", 3),)}
    assert fault_of(tmp_path, **strange, parameters=reshape).where == "m/1/model.onnx"


def test_a_model_whose_config_says_nothing_has_an_instance_for_every_core(tmp_path: Path) -> None:
    write_pooling_model(tmp_path)
    assert open_model(tmp_path, cores=2).instances == 2
    assert open_model(tmp_path, cores=2, decoupled=True).instances == 1


def test_instances_share_the_weights_and_closing_gives_them_back(tmp_path: Path) -> None:
    width = 3072  # over 32 MiB of weights: glibc gives less back when it likes
    weights = product(tmp_path, width)
    converted(tmp_path / "model.onnx", tmp_path)
    size, y = weights.nbytes // 2**20, spec("y", "FP32", width)
    del weights

    def open_run_and_close() -> int:
        """MiB while it is open."""
        artifact = open_model(tmp_path, outputs=(y,), parameters={"NUM_STREAMS": "2"})
        instances = [artifact.instance(ModelConfig(name="m", outputs=(y,))) for _ in range(6)]
        for instance in instances:
            execute(instance, x=np.ones((1, width), np.float32))
        while_open = private_mib()
        artifact.close()
        with pytest.raises(EngineFailed, match="after it was closed"):
            execute(instances[0], x=np.ones((1, width), np.float32))
        return while_open

    open_run_and_close()  # the engine keeps some memory for good when it is first used
    before = private_mib()
    while_open = [open_run_and_close() for _ in range(3)]
    assert max(while_open) - before < 2.6 * size  # as read, and as laid out for the kernels
    assert private_mib() - before < 0.5 * size
