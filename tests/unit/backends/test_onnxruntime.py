"""The ONNX Runtime backend: what it tells of a graph, what it refuses, how it fails."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.harness.artifacts import write_graph, write_pooling_graph
from trivet.backend.contract import Batch, Instance, LoadContext, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import EngineFailed, InvalidConfig, InvalidInput
from trivet_backends.onnxruntime import OnnxRuntimeBackend
from trivet_backends.onnxruntime.backend import OnnxArtifact
from trivet_backends.onnxruntime.faults import plain_text
from trivet_backends.onnxruntime.options import PARAMETERS, Options

value_info = helper.make_tensor_value_info


def open_model(folder: Path, **config: Any) -> OnnxArtifact:
    context = LoadContext(version=1, path=folder, where="m/1", threads=2)
    return OnnxRuntimeBackend().open(ModelConfig(name="m", **config), context)


def identity(folder: Path, element: int, shape: list[Any]) -> Path:
    return write_graph(
        folder / "model.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [value_info("x", element, shape)],
        [value_info("y", element, shape)],
    )


def identity_instance(folder: Path, element: int, datatype: str) -> Instance:
    identity(folder, element, ["batch", "n"])
    config: dict[str, Any] = {
        "max_batch_size": 8,
        "inputs": (TensorSpec(name="x", datatype=datatype, dims=(-1,)),),
        "outputs": (TensorSpec(name="y", datatype=datatype, dims=(-1,)),),
    }
    return open_model(folder, **config).instance(ModelConfig(name="m", **config))


def execute(instance: Instance, **inputs: np.ndarray) -> Any:
    (answer,) = instance.execute(Batch([Rows(inputs)], time.monotonic_ns))
    return answer


def fault_of(folder: Path, **config: Any) -> Any:
    with pytest.raises(InvalidConfig) as refused:
        open_model(folder, **config)
    assert str(folder) not in refused.value.message
    (fault,) = refused.value.faults
    return fault


def test_the_signature_has_full_shapes_and_the_graphs_symbols(tmp_path: Path) -> None:
    write_pooling_graph(tmp_path / "model.onnx")
    told = open_model(tmp_path).signature
    assert told.inputs[0] == TensorSpec(
        name="input_ids", datatype="INT64", dims=(-1, -1), symbols=("batch", "tokens")
    )
    assert told.outputs == (
        TensorSpec(
            name="hidden", datatype="FP32", dims=(-1, -1, 4), symbols=("batch", "tokens", "")
        ),
        TensorSpec(name="embedding", datatype="FP32", dims=(-1, 4), symbols=("batch", "")),
    )


def test_a_dimension_of_which_nothing_is_known_varies_and_has_no_symbol(tmp_path: Path) -> None:
    identity(tmp_path, TensorProto.BOOL, ["n", None, 3])
    (told,) = open_model(tmp_path).signature.inputs
    assert (told.datatype, told.dims, told.symbols) == ("BOOL", (-1, -1, 3), ("n", "", ""))


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
    instance = identity_instance(tmp_path, element, datatype)
    array = np.array([[0, 1, 1]], dtype=dtype)
    np.testing.assert_array_equal(execute(instance, x=array).outputs["y"], array, strict=True)


def test_texts_go_through_as_bytes(tmp_path: Path) -> None:
    instance = identity_instance(tmp_path, TensorProto.STRING, "BYTES")
    texts = np.array([["é".encode(), b"", b"a b", b"nul\x00"]], dtype=object)
    found = execute(instance, x=texts).outputs["y"]
    np.testing.assert_array_equal(found, texts, strict=True)


def test_a_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    instance = identity_instance(tmp_path, TensorProto.STRING, "BYTES")
    with pytest.raises(InvalidInput, match=r"input 'x': an element is not UTF-8 at byte 1"):
        execute(instance, x=np.array([[b"ok", b"a\xff"]], dtype=object))


def test_a_type_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    identity(tmp_path, TensorProto.BFLOAT16, ["n"])
    with pytest.raises(InvalidConfig) as refused:
        open_model(tmp_path)
    assert [fault.where for fault in refused.value.faults] == [
        "m/1/model.onnx: tensor 'x'",
        "m/1/model.onnx: tensor 'y'",
    ]
    assert "tensor(bfloat16)" in refused.value.message


def test_another_file_may_be_named(tmp_path: Path) -> None:
    write_pooling_graph(tmp_path / "fast.onnx")
    assert open_model(tmp_path, default_model_filename="fast.onnx").signature.inputs
    assert fault_of(tmp_path).where == "m/1/model.onnx"


@pytest.mark.parametrize("name", ["../model.onnx", "/model.onnx", "a/b.onnx", ".."])
def test_a_file_outside_the_versions_folder_is_refused(tmp_path: Path, name: str) -> None:
    write_pooling_graph(tmp_path / "model.onnx")
    (tmp_path / "1").mkdir()
    assert fault_of(tmp_path / "1", default_model_filename=name).where == f"m/1/{name}"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    fault = fault_of(tmp_path)
    assert fault.where == "m/1/model.onnx"
    assert "No graph was found" in fault.what


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = write_pooling_graph(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes()[:300])
    assert "parsing failed" in fault_of(tmp_path).what


def test_a_graph_too_new_for_the_engine_is_refused_saying_so(tmp_path: Path) -> None:
    path = identity(tmp_path, TensorProto.FLOAT, ["n"])
    model = onnx.load(path)
    model.ir_version = 99
    onnx.save(model, path)
    fault = fault_of(tmp_path)
    assert "Unsupported model IR version: 99" in fault.what
    assert "model.cc" not in fault.what


def test_missing_external_weights_are_refused_without_a_path(tmp_path: Path) -> None:
    path = write_pooling_graph(tmp_path / "model.onnx")
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=500)
    (tmp_path / "weights").unlink()
    fault = fault_of(tmp_path)
    assert fault.where == "m/1/model.onnx"
    assert "weights" in fault.what


def test_values_out_of_bounds_are_the_callers_fault(tmp_path: Path) -> None:
    write_pooling_graph(tmp_path / "model.onnx")
    outputs = (TensorSpec(name="embedding", datatype="FP32", dims=(4,)),)
    instance = open_model(tmp_path).instance(ModelConfig(name="m", outputs=outputs))
    with pytest.raises(InvalidInput) as refused:
        execute(instance, input_ids=np.array([[1, 50]]), attention_mask=np.array([[1, 1]]))
    assert refused.value.message.startswith("onnxruntime cannot take these inputs: ")
    assert "idx=50 must be within the inclusive range [-50,49]" in refused.value.message


def test_an_engine_failure_tells_the_cause_alone(tmp_path: Path) -> None:
    write_pooling_graph(tmp_path / "model.onnx")
    specs = [TensorSpec(name=n, datatype="INT64", dims=(-1,)) for n in ("input_ids", "mask")]
    outputs = (TensorSpec(name="embedding", datatype="FP32", dims=(4,)),)
    config = ModelConfig(name="m", max_batch_size=8, inputs=tuple(specs), outputs=outputs)
    instance = open_model(tmp_path).instance(config)
    with pytest.raises(EngineFailed, match="2 by 3") as failed:
        execute(instance, input_ids=np.array([[1, 1, 1]]), attention_mask=np.array([[1, 1]]))
    assert failed.value.message.startswith("onnxruntime: ")
    assert "element_wise_ops" not in failed.value.message


def test_a_closed_artifact_refuses_to_run(tmp_path: Path) -> None:
    identity(tmp_path, TensorProto.FLOAT, ["batch", "n"])
    outputs = (TensorSpec(name="y", datatype="FP32", dims=(-1,)),)
    artifact = open_model(tmp_path)
    instance = artifact.instance(ModelConfig(name="m", outputs=outputs))
    artifact.close()
    with pytest.raises(EngineFailed, match="after it was closed"):
        execute(instance, x=np.zeros((1, 2), np.float32))


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : Load model from /srv/m/1/model.onnx failed:"
            "/src/core/graph/model.cc:256 ort::Model::Model(onnx::ModelProto&&, const int&) "
            "Unsupported model IR version: 99\n",
            "Unsupported model IR version: 99",
        ),
        (
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while "
            "running Reshape node. Name:'/bert/Reshape' Status Message: /src/a.h:45 ort::F(long, "
            "bool) const size != 0 was false. Input shape:{2}\nStacktrace:\n0x7f at /lib/x.so",
            "Non-zero status code returned while running Reshape node. Name:'/bert/Reshape' "
            "Status Message: size != 0 was false. Input shape:{2}",
        ),
        ("cannot open /srv/m/1/weights.bin", "cannot open weights.bin"),
        ("", "RuntimeError"),
    ],
)
def test_an_engine_text_loses_paths_positions_and_traces(raised: str, shown: str) -> None:
    assert plain_text(RuntimeError(raised), Path("/srv/m/1")) == shown


def test_threads_follow_the_load_unless_a_parameter_says_otherwise() -> None:
    assert Options.read(ModelConfig(name="m")).intra_op_threads == 0
    config = ModelConfig(name="m", parameters={"intra_op_thread_count": "5"})
    options = Options.read(config)
    session = options.for_session(options.intra_op_threads)
    assert (session.intra_op_num_threads, session.inter_op_num_threads) == (5, 1)


def test_every_parameter_reaches_the_session() -> None:
    written = {
        "intra_op_thread_count": "3",
        "inter_op_thread_count": "2",
        "execution_mode": "1",
        "graph_optimization_level": "basic",
        "enable_mem_arena": "0",
        "enable_mem_pattern": "1",
        "session.disable_prepacking": "1",
        "session.intra_op.allow_spinning": "0",
        "session.intra_op.spin_duration_us": "7",
        "session.force_spinning_stop": "0",
        "session.use_device_allocator_for_initializers": "1",
    }
    of_runs_and_gpus = {
        "memory.enable_memory_arena_shrinkage",
        "share_session_between_instances",
        "cudnn_conv_algo_search",
        "gpu_mem_limit",
        "arena_extend_strategy",
        "do_copy_in_default_stream",
    }
    assert {parameter.name for parameter in PARAMETERS} == set(written) | of_runs_and_gpus
    written["session.set_denormal_as_zero"] = "1"  # any other of the engine's goes through
    options = Options.read(ModelConfig(name="m", parameters=written))
    session = options.for_session(options.intra_op_threads)
    assert session.intra_op_num_threads == 3
    assert session.inter_op_num_threads == 2
    assert session.execution_mode.name == "ORT_PARALLEL"
    assert session.graph_optimization_level.name == "ORT_ENABLE_BASIC"
    assert not session.enable_cpu_mem_arena
    assert session.enable_mem_pattern
    for name in written:
        if name.startswith("session."):
            assert session.get_session_config_entry(name) == written[name]


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0, "ENABLE_ALL"), (-1, "ENABLE_BASIC"), (1, "ENABLE_EXTENDED"), (2, "DISABLE_ALL")],
)
def test_the_graph_level_means_what_it_means_to_triton(level: int, expected: str) -> None:
    session = Options.read(ModelConfig(name="m", graph_level=level)).for_session(1)
    assert session.graph_optimization_level.name == f"ORT_{expected}"


def test_a_count_of_zero_threads_is_taken_as_tritons_default() -> None:
    zeros = {"intra_op_thread_count": "0", "inter_op_thread_count": "0"}
    options = Options.read(ModelConfig(name="m", parameters=zeros))
    assert (options.intra_op_threads, options.inter_op_threads) == (0, 1)


def test_arenas_shrink_after_every_run_if_asked_to(tmp_path: Path) -> None:
    identity(tmp_path, TensorProto.FLOAT, ["n"])
    name = "memory.enable_memory_arena_shrinkage"
    x = np.ones(4, np.float32)
    spec = TensorSpec(name="x", datatype="FP32", dims=(-1,))
    config: dict[str, Any] = {"inputs": (spec,), "outputs": (replace(spec, name="y"),)}
    for devices in ("cpu:0", "gpu:0;cpu:0"):
        model = open_model(tmp_path, parameters={name: devices})
        instance = model.instance(ModelConfig(name="m", **config))
        assert execute(instance, x=x).outputs["y"].tolist() == x.tolist()
    options = Options.read(ModelConfig(name="m", parameters={name: "gpu:0;gpu:1;cpu:0"}))
    for gpu, expected in ((None, "cpu:0"), (1, "gpu:1;cpu:0")):
        run = options.for_run(gpu)
        assert run is not None
        assert run.get_run_config_entry(name) == expected
    assert Options.read(ModelConfig(name="m")).for_run(None) is None
    assert "enable_memory_arena_shrinkage" in fault_of(tmp_path, parameters={name: "cpu"}).where


def test_all_wrong_parameters_are_told_at_once(tmp_path: Path) -> None:
    wrong = {"execution_mode": "2", "enable_mem_arena": "maybe", "intra_op_threads_count": "2"}
    with pytest.raises(InvalidConfig) as refused:
        open_model(tmp_path, parameters=wrong)
    where = [fault.where for fault in refused.value.faults]
    assert sorted(where) == sorted(f'm/config.pbtxt: parameters["{name}"]' for name in wrong)


def test_the_engine_writes_no_warnings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # A weight that no node uses makes the engine warn on stderr when it opens a graph.
    path = identity(tmp_path, TensorProto.FLOAT, ["n"])
    model = onnx.load(path)
    unused = helper.make_tensor("unused", TensorProto.FLOAT, [1], [0.0])
    model.graph.initializer.append(unused)
    onnx.save(model, path)
    open_model(tmp_path)
    assert capfd.readouterr().err == ""


def test_importing_the_backends_imports_no_engine() -> None:
    code = (
        "import sys\n"
        "import trivet_backends.onnxruntime, trivet_backends.tokenizers\n"
        "import trivet_backends.text, trivet_backends.fake\n"
        "print({'onnx', 'onnxruntime', 'tokenizers'} & set(sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
