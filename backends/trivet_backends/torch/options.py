"""How a model runs: the parameters a config may set, by the names of Triton's PyTorch backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trivet.config import ModelConfig
from trivet_backends.parameters import Parameter, Reader, one_of, switch, whole

_UNTOLD = {"true": "yes", "1": "yes", "false": "no", "0": "no"}

UNOPTIMIZED = switch(
    "DISABLE_OPTIMIZED_EXECUTION", False, "Run TorchScript as it is, without a slow start."
)
INFERENCE_MODE = switch(
    "INFERENCE_MODE", True, "Keep nothing for gradients; false: only record no gradients."
)
WITHOUT_CUDNN = switch("DISABLE_CUDNN", False, "On a GPU, leave cuDNN out.")
CACHE_CLEANING = switch(
    "ENABLE_CACHE_CLEANING", False, "On a GPU, give free memory back after every run."
)
WEIGHT_SHARING = switch(
    "ENABLE_WEIGHT_SHARING",
    True,
    "Makes no difference: the instances on a device share their weights always.",
)
INTRA_OP_THREADS = whole(
    "INTRA_OP_THREAD_COUNT",
    0,
    "Threads that share one operator, at most; 0: as the load allows. Of this model alone.",
)
INTER_OP_THREADS = whole(
    "INTER_OP_THREAD_COUNT", 0, "Threads for what TorchScript forks; of the whole process."
)
# Of the whole process, as in Triton: set before every run of a model that says something of them.
TENSOR_FUSER = one_of("ENABLE_TENSOR_FUSER", _UNTOLD, "", "Fuse element-wise operators.")
PROFILING = one_of("ENABLE_JIT_PROFILING", _UNTOLD, "", "Let TorchScript learn from its runs.")
EXECUTOR = one_of("ENABLE_JIT_EXECUTOR", _UNTOLD, "", "Use the executor that learns.")

PARAMETERS: tuple[Parameter[Any], ...] = (
    UNOPTIMIZED,
    INFERENCE_MODE,
    WITHOUT_CUDNN,
    CACHE_CLEANING,
    WEIGHT_SHARING,
    INTRA_OP_THREADS,
    INTER_OP_THREADS,
    TENSOR_FUSER,
    PROFILING,
    EXECUTOR,
)
_SWITCHES = {
    "_jit_set_texpr_fuser_enabled": TENSOR_FUSER,
    "_jit_set_profiling_mode": PROFILING,
    "_jit_set_profiling_executor": EXECUTOR,
}
# Triton's, not served: name -> cure.
_REFUSED = {
    "ENABLE_NVFUSER": "remove it; torch has had no NVFuser since 2.2",
    "TORCH_COMPILE_OPTIONAL_PARAMETERS": "remove it; export the model with torch.export instead",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A model's settings, read and valid."""

    optimized: bool
    inference_mode: bool
    cudnn: bool
    cache_cleaning: bool
    intra_op_threads: int  # 0: as the load allows
    inter_op_threads: int  # 0: the engine's default
    jit: Mapping[str, bool]  # functions of torch._C and what they are called with

    @classmethod
    def read(cls, config: ModelConfig) -> Options:
        """Read a config's parameters. Raises InvalidConfig with every fault."""
        reader = Reader(config)
        reader.look_for_typos(PARAMETERS)
        for name, cure in _REFUSED.items():
            if config.parameters.get(name, "false").lower() not in ("false", "0"):
                reader.fault(name, "is not supported", cure)
        reader.value(WEIGHT_SHARING)  # must be no nonsense all the same
        told = {function: reader.value(parameter) for function, parameter in _SWITCHES.items()}
        options = cls(
            optimized=not reader.value(UNOPTIMIZED),
            inference_mode=reader.value(INFERENCE_MODE),
            cudnn=not reader.value(WITHOUT_CUDNN),
            cache_cleaning=reader.value(CACHE_CLEANING),
            intra_op_threads=reader.value(INTRA_OP_THREADS),
            inter_op_threads=reader.value(INTER_OP_THREADS),
            jit={function: word == "yes" for function, word in told.items() if word},
        )
        reader.done()
        return options
