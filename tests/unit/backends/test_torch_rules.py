"""The PyTorch backend without its engine: names, parameters, error texts, the missing engine."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig
from trivet.errors import EngineFailed, InstanceDied, InvalidConfig, InvalidInput
from trivet_backends.torch import TorchBackend
from trivet_backends.torch.faults import plain_text, refusal
from trivet_backends.torch.naming import Argument, Call, call_for, in_order
from trivet_backends.torch.options import Options

IDS, MASK, TYPES = Argument("ids"), Argument("mask"), Argument("types", optional=True)

TRACEBACK = """The following operation failed in the TorchScript interpreter.
Traceback of TorchScript, serialized code (most recent call last):
  File "code/__torch__.py", line 11, in forward
RuntimeError: index out of range in self
"""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["mask", "ids"], Call(named=("mask", "ids"))),
        (["ids", "mask", "types"], Call(named=("ids", "mask", "types"))),
        (["INPUT__1", "INPUT__0"], Call(positional=("INPUT__0", "INPUT__1"))),
        (["a__2", "b__0", "c__1"], Call(positional=("b__0", "c__1", "a__2"))),
        (["ids", "INPUT__0"], Call(positional=("ids", "INPUT__0"))),
        (["x", "ids"], Call(positional=("x", "ids"))),
    ],
)
def test_inputs_go_by_argument_else_by_number_else_by_order(
    names: list[str], expected: Call
) -> None:
    assert call_for(names, [IDS, MASK, TYPES], "m/1/model.pt") == expected


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["ids"], "forward needs 'mask', too"),
        (["x__0", "y__2"], "the numbers of the inputs are not 0, 1, 2"),
        (["x__0", "y__0"], "the numbers of the inputs are not 0, 1, 2"),
        (["x"], "forward takes 3 inputs, and 1 are named"),
        (["a", "b", "c", "d"], "forward takes 3 inputs, and 4 are named"),
    ],
)
def test_inputs_that_do_not_fit_forward_are_refused(names: list[str], told: str) -> None:
    with pytest.raises(InvalidConfig, match=told) as refused:
        call_for(names, [IDS, MASK, TYPES], "m/1/model.pt")
    assert refused.value.faults[0].where == "m/1/model.pt: input"


def test_outputs_go_by_number_if_all_have_one_else_by_order() -> None:
    assert in_order(["OUTPUT__1", "OUTPUT__0"]) == {"OUTPUT__1": 1, "OUTPUT__0": 0}
    assert in_order(["hidden", "OUTPUT__0"]) == {"hidden": 0, "OUTPUT__0": 1}
    assert in_order(["a__b"]) == {"a__b": 0}


def read(**parameters: str) -> Options:
    return Options.read(ModelConfig(name="m", parameters=parameters))


def test_tritons_parameters_are_read() -> None:
    default = read()
    assert (default.optimized, default.inference_mode, default.cudnn) == (True, True, True)
    assert (default.intra_op_threads, default.inter_op_threads, default.jit) == (0, 0, {})
    told = read(
        DISABLE_OPTIMIZED_EXECUTION="true",
        INFERENCE_MODE="false",
        DISABLE_CUDNN="true",
        ENABLE_CACHE_CLEANING="true",
        ENABLE_WEIGHT_SHARING="true",
        INTRA_OP_THREAD_COUNT="2",
        INTER_OP_THREAD_COUNT="1",
        ENABLE_TENSOR_FUSER="false",
        ENABLE_JIT_PROFILING="true",
        ENABLE_NVFUSER="false",
    )
    assert told == Options(
        optimized=False,
        inference_mode=False,
        cudnn=False,
        cache_cleaning=True,
        intra_op_threads=2,
        inter_op_threads=1,
        jit={"_jit_set_texpr_fuser_enabled": False, "_jit_set_profiling_mode": True},
    )


def test_what_is_not_served_is_refused_with_all_other_faults() -> None:
    wrong = {
        "ENABLE_NVFUSER": "true",
        "TORCH_COMPILE_OPTIONAL_PARAMETERS": '{"disable": "true"}',
        "INFERENCE_MOD": "true",
        "INTRA_OP_THREAD_COUNT": "-1",
    }
    with pytest.raises(InvalidConfig) as refused:
        read(**wrong)
    where = {fault.where for fault in refused.value.faults}
    assert where == {f'm/config.pbtxt: parameters["{name}"]' for name in wrong}


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (RuntimeError(TRACEBACK), "index out of range in self"),
        (IndexError("index out of range in self"), "index out of range in self"),
        (RuntimeError("cannot read /srv/m/1/model.pt"), "cannot read model.pt"),
        (RuntimeError(""), "RuntimeError"),
    ],
)
def test_an_engine_text_loses_its_traceback_and_paths(raised: Exception, shown: str) -> None:
    assert plain_text(raised, Path("/srv/m/1")) == shown


def test_whose_fault_an_error_is() -> None:
    folder = Path("/srv/m/1")
    guard = AssertionError("Guard failed: input_ids.size()[1] <= 512")
    for error in (RuntimeError(TRACEBACK), guard):
        assert isinstance(refusal(error, folder), InvalidInput)
    lost = refusal(RuntimeError("CUDA error: device-side assert triggered"), folder)
    assert isinstance(lost, InstanceDied)
    other = refusal(RuntimeError("out of memory"), folder)
    assert type(other) is EngineFailed


def test_importing_the_backend_imports_no_engine() -> None:
    code = "import sys, trivet_backends.torch; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_a_missing_engine_is_told_with_its_extra(tmp_path: Path) -> None:
    (tmp_path / "model.pt").touch()
    config = ModelConfig(name="m", backend="torch")
    with pytest.raises(InvalidConfig, match=r"pip install 'trivet\[torch\]'"):
        TorchBackend().open(config, LoadContext(version=1, path=tmp_path, where="m/1", threads=1))
    gpus = TorchBackend().gpus(config)
    assert (gpus.numbers, gpus.lacking) == ((), "backend 'torch' is not installed")
