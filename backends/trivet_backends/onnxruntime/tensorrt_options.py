"""Parameters of the accelerator `tensorrt`, in the words of Triton's backend, as the engine's."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.errors import Fault

_PRECISIONS = {
    "FP32": "",
    "FP16": "trt_fp16_enable",
    "BF16": "trt_bf16_enable",
    "INT8": "trt_int8_enable",
}
# Where the engine's name is another one.
_RENAMED = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_NUMBERS = frozenset(
    {
        "max_workspace_size_bytes",
        "trt_auxiliary_streams",
        "trt_builder_optimization_level",
        "trt_dla_core",
        "trt_ep_context_embed_mode",
        "trt_max_partition_iterations",
        "trt_min_subgraph_size",
    }
)
_SWITCHES = frozenset(
    {
        "int8_use_native_calibration_table",
        "trt_build_heuristics_enable",
        "trt_context_memory_sharing_enable",
        "trt_cuda_graph_enable",
        "trt_detailed_build_log",
        "trt_dla_enable",
        "trt_dump_ep_context_model",
        "trt_dump_subgraphs",
        "trt_engine_cache_enable",
        "trt_force_sequential_engine_build",
        "trt_force_timing_cache",
        "trt_layer_norm_fp32_fallback",
        "trt_sparsity_enable",
        "trt_timing_cache_enable",
    }
)
_TEXTS = frozenset(
    {
        "int8_calibration_table_name",
        "trt_engine_cache_path",
        "trt_engine_cache_prefix",
        "trt_ep_context_file_path",
        "trt_extra_plugin_lib_paths",
        "trt_profile_max_shapes",
        "trt_profile_min_shapes",
        "trt_profile_opt_shapes",
        "trt_tactic_sources",
        "trt_timing_cache_path",
    }
)
_BOOLS = {"1": "True", "true": "True", "0": "False", "false": "False"}  # as the engine reads them


def tensorrt_options(
    parameters: Mapping[str, str], where: str, faults: list[Fault]
) -> dict[str, str]:
    """The engine's options; what is unknown or nonsense is added to `faults`."""
    options = {}
    for name, value in parameters.items():
        at = f'{where}["{name}"]'
        if name == "precision_mode":
            if value not in _PRECISIONS:
                cure = f"use one of {', '.join(_PRECISIONS)}"
                faults.append(Fault(at, f"'{value}' is no precision", cure))
            elif _PRECISIONS[value]:
                options[_PRECISIONS[value]] = "True"
        elif name in _NUMBERS:
            if not value.removeprefix("-").isdecimal():
                faults.append(Fault(at, f"'{value}' is no whole number", "write one"))
            options[_RENAMED.get(name, name)] = value
        elif name in _SWITCHES:
            if value.lower() not in _BOOLS:
                faults.append(Fault(at, f"'{value}' is neither yes nor no", "write 1 or 0"))
            options[_RENAMED.get(name, name)] = _BOOLS.get(value.lower(), "")
        elif name in _TEXTS:
            options[_RENAMED.get(name, name)] = value
        else:
            known = ", ".join(sorted(("precision_mode", *_NUMBERS, *_SWITCHES, *_TEXTS)))
            faults.append(Fault(at, "TensorRT has no such parameter", f"use some of {known}"))
    return options
