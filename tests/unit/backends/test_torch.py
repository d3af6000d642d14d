"""The PyTorch backend on its engine: names, types, threads, what is refused."""

from __future__ import annotations

import os
import threading
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import torch_artifacts
from tests.harness.artifacts import EMBEDDINGS
from trivet.backend.contract import Batch, LoadContext, Rows
from trivet.backend.cores import Cores
from trivet.backend.placement import placed
from trivet.config import InstanceGroup, InstanceKind, ModelConfig, TensorSpec
from trivet.errors import EngineFailed, InvalidConfig, InvalidInput
from trivet_backends.torch import TorchBackend
from trivet_backends.torch.backend import TorchArtifact, set_threads

pytestmark = torch_artifacts.needs_torch

ids = np.array([[3, 4, 5]])


def spec(name: str, datatype: str = "INT64", *dims: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, dims=dims or (-1,))


def open_model(folder: Path, cores: int = 2, **config: Any) -> TorchArtifact:
    context = LoadContext(version=1, path=folder, where="m/1", threads=cores, cores=Cores(cores))
    return TorchBackend().open(ModelConfig(name="m", backend="torch", **config), context)


def run(folder: Path, config: Mapping[str, Any], **inputs: np.ndarray) -> Mapping[str, np.ndarray]:
    model = open_model(folder, **config)
    instance = model.instance(ModelConfig(name="m", **config))
    (answer,) = instance.execute(Batch([Rows(inputs)], time.monotonic_ns))
    model.close()
    return answer.outputs


def config(*names: str, outputs: tuple[TensorSpec, ...], **more: Any) -> dict[str, Any]:
    return {"max_batch_size": 8, "inputs": tuple(map(spec, names)), "outputs": outputs, **more}


HIDDEN, EMBEDDING = spec("hidden", "FP32", -1, 4), spec("embedding", "FP32", 4)


@pytest.mark.parametrize(
    "names", [("attention_mask", "input_ids"), ("INPUT__1", "INPUT__0"), ("first", "second")]
)
@pytest.mark.parametrize("form", ["scripted", "exported"])
def test_inputs_are_named_as_triton_names_them(
    tmp_path: Path, names: tuple[str, ...], form: str
) -> None:
    getattr(torch_artifacts, f"write_{form}_pooling")(tmp_path)
    mask = np.array([[1, 1, 0]])
    given = {"input_ids": ids, "attention_mask": mask}
    if names == ("first", "second"):
        given = {"first": ids, "second": mask}
    elif "INPUT__0" in names:
        given = {"INPUT__0": ids, "INPUT__1": mask}
    found = run(tmp_path, config(*names, outputs=(HIDDEN, EMBEDDING)), **given)
    np.testing.assert_allclose(found["hidden"], EMBEDDINGS[ids])
    np.testing.assert_allclose(found["embedding"][0], EMBEDDINGS[[3, 4]].mean(0), rtol=1e-6)


@pytest.mark.parametrize("form", ["scripted", "exported"])
def test_a_tuple_of_outputs_goes_by_number(tmp_path: Path, form: str) -> None:
    getattr(torch_artifacts, f"write_{form}_pooling")(tmp_path, "tuple")
    outputs = (spec("OUTPUT__1", "FP32", 4), spec("OUTPUT__0", "FP32", -1, 4))
    names = ("input_ids", "attention_mask")
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    found = run(tmp_path, config(*names, outputs=outputs), **given)
    np.testing.assert_allclose(found["OUTPUT__0"], EMBEDDINGS[ids])
    np.testing.assert_allclose(found["OUTPUT__1"], EMBEDDINGS[ids].mean(1), rtol=1e-6)


def test_an_exported_program_tells_everything(tmp_path: Path) -> None:
    torch_artifacts.write_exported_pooling(tmp_path)
    told = open_model(tmp_path).signature
    assert [(s.name, s.datatype, s.dims) for s in (*told.inputs, *told.outputs)] == [
        ("input_ids", "INT64", (-1, -1)),
        ("attention_mask", "INT64", (-1, -1)),
        ("hidden", "FP32", (-1, -1, 4)),
        ("embedding", "FP32", (-1, 4)),
    ]
    batch, tokens = told.inputs[0].symbols
    assert told.inputs[1].symbols == (batch, tokens)
    assert [s.symbols for s in told.outputs] == [(batch, tokens, ""), (batch, "")]


def test_which_dimensions_of_torchscript_agree_is_found_by_trying(tmp_path: Path) -> None:
    torch_artifacts.write_scripted_pooling(tmp_path)
    names = ("input_ids", "attention_mask")
    told = open_model(tmp_path, **config(*names, outputs=(HIDDEN, EMBEDDING))).signature
    assert [s.symbols for s in told.inputs] == [("batch", "axis.1")] * 2
    assert [s.symbols for s in told.outputs] == [("batch", "axis.1", ""), ("batch", "")]
    source = "def forward(self, a, b):\n  return b, a\n"
    torch_artifacts.save_scripted(torch_artifacts.scripted(source), tmp_path)
    outputs = (spec("x", "INT64"), spec("y", "INT64"))
    told = open_model(tmp_path, **config("a", "b", outputs=outputs)).signature
    assert [s.symbols[1] for s in told.outputs] == ["b.1", "a.1"]


def test_a_torchscript_model_without_tensors_in_its_config_names_its_arguments(
    tmp_path: Path,
) -> None:
    torch_artifacts.write_scripted_pooling(tmp_path)
    with pytest.raises(InvalidConfig, match=r"forward takes input_ids, attention_mask") as refused:
        open_model(tmp_path)
    assert refused.value.faults[0].where == "m/config.pbtxt"


def test_a_dict_of_tensors_is_taken_by_its_keys(tmp_path: Path) -> None:
    source = (
        "def forward(self, given: Dict[str, Tensor]):\n  return {'z': given['x'] - given['y']}\n"
    )
    torch_artifacts.save_scripted(torch_artifacts.scripted(source), tmp_path)
    found = run(tmp_path, config("y", "x", outputs=(spec("z"),)), x=ids, y=ids + 1)
    assert found["z"].tolist() == [[-1, -1, -1]]


def test_texts_go_through_as_lists_of_str(tmp_path: Path) -> None:
    source = "def forward(self, texts: List[str]):\n  return [t + '!' for t in texts]\n"
    torch_artifacts.save_scripted(torch_artifacts.scripted(source), tmp_path)
    told = {
        "max_batch_size": 8,
        "inputs": (spec("texts", "BYTES", 1),),
        "outputs": (spec("loud", "BYTES", 1),),
    }
    found = run(tmp_path, told, texts=np.array([["é".encode()], [b""]], dtype=object))
    assert found["loud"].tolist() == [["é!".encode()], [b"!"]]
    with pytest.raises(InvalidInput, match="not UTF-8 at byte 0"):
        run(tmp_path, told, texts=np.array([[b"\xff"]], dtype=object))


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [
        ("BOOL", np.bool_),
        ("UINT8", np.uint8),
        ("UINT16", np.uint16),
        ("INT8", np.int8),
        ("INT32", np.int32),
        ("FP16", np.float16),
        ("FP64", np.float64),
        ("BF16", None),
    ],
)
def test_numbers_of_every_type_go_through(tmp_path: Path, datatype: str, dtype: Any) -> None:
    import ml_dtypes

    torch_artifacts.save_scripted(
        torch_artifacts.scripted("def forward(self, x):\n  return x\n"), tmp_path
    )
    array = np.array([[0, 1, 1]]).astype(ml_dtypes.bfloat16 if dtype is None else dtype)
    told = {"inputs": (spec("x", datatype, -1, -1),), "outputs": (spec("y", datatype, -1, -1),)}
    np.testing.assert_array_equal(run(tmp_path, told, x=array)["y"], array, strict=True)


def test_a_model_cannot_write_into_a_request(tmp_path: Path) -> None:
    source = "def forward(self, x):\n  return x.add_(1)\n"
    torch_artifacts.save_scripted(torch_artifacts.scripted(source), tmp_path)
    array = np.array([[1, 2]])
    array.flags.writeable = False
    assert run(tmp_path, config("x", outputs=(spec("y"),)), x=array)["y"].tolist() == [[2, 3]]
    assert array.tolist() == [[1, 2]]


def test_an_output_of_another_type_than_the_config_says_is_an_error(tmp_path: Path) -> None:
    torch_artifacts.save_scripted(
        torch_artifacts.scripted("def forward(self, x):\n  return x.to(torch.float64)\n"), tmp_path
    )
    with pytest.raises(EngineFailed, match=r"output 'y' is FP64, and the config says FP32"):
        run(tmp_path, config("x", outputs=(spec("y", "FP32"),)), x=ids)


@pytest.mark.parametrize("outputs", [("a", "b"), ("OUTPUT__1",)])
def test_an_output_that_the_model_has_not_is_an_error(
    tmp_path: Path, outputs: tuple[str, ...]
) -> None:
    torch_artifacts.save_scripted(
        torch_artifacts.scripted("def forward(self, x):\n  return x\n"), tmp_path
    )
    with pytest.raises(EngineFailed, match="is number 1, and the model has 1"):
        run(tmp_path, config("x", outputs=tuple(map(spec, outputs))), x=ids)


def test_a_size_beyond_what_was_exported_is_the_callers_fault(tmp_path: Path) -> None:
    torch_artifacts.write_exported_pooling(tmp_path, tokens=8)
    names, long = ("input_ids", "attention_mask"), np.ones((1, 9), np.int64)
    with pytest.raises(InvalidInput, match="Guard failed"):
        told = config(*names, outputs=(EMBEDDING,))
        run(tmp_path, told, input_ids=long, attention_mask=long)


@pytest.mark.parametrize("name", ["model.pt", "model.pt2"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK nothing")
    with pytest.raises(InvalidConfig, match="torch cannot load it") as refused:
        open_model(tmp_path)
    assert refused.value.faults[0].where == f"m/1/{name}"
    assert str(tmp_path) not in refused.value.message


def test_compiled_code_is_refused_since_it_trusts_its_callers(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        archive.writestr("model/data/aotinductor/model/a.wrapper.so", b"")
    with pytest.raises(InvalidConfig, match="is a package of AOTInductor"):
        open_model(tmp_path)


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig) as refused:
        open_model(tmp_path)
    assert str(refused.value.faults[0]).startswith("m/1/model.pt: no such file")


def test_a_gpu_that_is_not_there_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    gpu = InstanceGroup(kind=InstanceKind.GPU)
    with pytest.raises(InvalidConfig, match="write KIND_CPU"):
        placed(ModelConfig(name="m", instance_groups=(gpu,)), TorchBackend())


def test_inference_mode_and_optimized_execution_are_as_the_config_says(tmp_path: Path) -> None:
    source = (
        "def forward(self, x):\n"
        "  made = torch.zeros([1, 1])\n"
        "  return made + float(made.is_inference())\n"
    )
    torch_artifacts.save_scripted(torch_artifacts.scripted(source), tmp_path)
    told = config("x", outputs=(spec("y", "FP32", 1),))
    for mode, expected in (("true", 1), ("false", 0)):
        parameters = {"INFERENCE_MODE": mode, "DISABLE_OPTIMIZED_EXECUTION": "true"}
        found = run(tmp_path, {**told, "parameters": parameters}, x=np.ones((1, 1), np.int64))
        assert found["y"].item() == expected


@pytest.mark.parametrize(
    ("parameters", "expected"), [({}, [4, 2]), ({"INTRA_OP_THREAD_COUNT": "3"}, [3, 2])]
)
def test_threads_follow_the_load(
    tmp_path: Path,
    parameters: dict[str, str],
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    torch_artifacts.save_scripted(
        torch_artifacts.scripted("def forward(self, x):\n  return x\n"), tmp_path
    )
    told = config("x", outputs=(spec("y"),), parameters=parameters)
    model = open_model(tmp_path, cores=4, **told)
    assert model.instances == 4
    instance = model.instance(ModelConfig(name="m", **told))
    asked.clear()
    batch = Batch([Rows({"x": ids})], time.monotonic_ns)
    instance.execute(batch)
    with model._runner._cores.share():  # another batch runs beside it
        instance.execute(batch)
    assert asked == expected


def test_an_instances_threads_are_its_own() -> None:
    """What the backend relies on: torch's number of threads belongs to the thread that calls."""
    import torch

    def ticks() -> dict[str, int]:
        """The CPU time of each thread of the process."""
        stats: dict[str, str] = {}
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # another test's, which has ended meanwhile
                stats[task.name] = (task / "stat").read_text()
        fields = {name: stat.rsplit(")", 1)[1].split() for name, stat in stats.items()}
        return {name: int(field[11]) for name, field in fields.items()}

    def busy(threads: int, found: list[int]) -> None:
        set_threads(threads)
        other = threading.Thread(target=torch.set_num_threads, args=(2,))
        other.start()  # what a thread sets is what new ones begin with
        other.join()
        before, a = ticks(), torch.ones(1500, 1500)
        for _ in range(8):
            a @ a
        spent = [now - before.get(name, 0) for name, now in ticks().items()]
        found.append(sum(one > sum(spent) / 5 for one in spent))

    found: list[int] = []
    for threads in (1, 2):
        thread = threading.Thread(target=busy, args=(threads, found))
        thread.start()
        thread.join()
    assert found == [1, 2]


def test_threads_sleep_while_they_wait_unless_the_operator_says_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    TorchBackend().gpus(ModelConfig(name="m"))
    assert os.environ["GOMP_SPINCOUNT"] == "2000"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    TorchBackend().gpus(ModelConfig(name="m"))
    assert "GOMP_SPINCOUNT" not in os.environ


def test_an_exported_program_gives_its_weights_back_when_it_is_closed(tmp_path: Path) -> None:
    torch_artifacts.write_exported_pooling(tmp_path)
    model = open_model(tmp_path)
    held = model._runner._model
    assert held is not None
    weights = list(held._module.parameters())  # type: ignore[attr-defined]
    assert sum(tensor.numel() for tensor in weights) > 0
    model.close()
    model.close()
    assert sum(tensor.numel() for tensor in weights) == 0


def test_a_closed_model_runs_nothing(tmp_path: Path) -> None:
    torch_artifacts.write_exported_pooling(tmp_path)
    model = open_model(tmp_path)
    told = config("input_ids", "attention_mask", outputs=(EMBEDDING,))
    instance = model.instance(ModelConfig(name="m", **told))
    model.close()
    with pytest.raises(EngineFailed, match="closed"):
        instance.execute(
            Batch([Rows({"input_ids": ids, "attention_mask": ids})], time.monotonic_ns)
        )
