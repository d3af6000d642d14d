"""`pb_utils.ModelConfig`, what `auto_complete_config` completes, and helpers that read configs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from trivet_backends.python.child.errors import TritonModelException

Config = dict[str, Any]  # a config.pbtxt as JSON

TRITON_STRING_TO_NUMPY: Mapping[str, type] = {
    "TYPE_BOOL": np.bool_,
    "TYPE_UINT8": np.uint8,
    "TYPE_UINT16": np.uint16,
    "TYPE_UINT32": np.uint32,
    "TYPE_UINT64": np.uint64,
    "TYPE_INT8": np.int8,
    "TYPE_INT16": np.int16,
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
    "TYPE_STRING": np.object_,
}
_TYPES = (*TRITON_STRING_TO_NUMPY, "TYPE_BF16")
_FIELDS = {"name", "data_type", "dims", "optional", "reshape"}


class ModelConfig:
    """A config that may lack what model.py knows."""

    def __init__(self, config: Config) -> None:
        self._config = deepcopy(config)

    def as_dict(self) -> Config:
        return self._config

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """Raises ValueError if config.pbtxt asks for more."""
        written = self._config["max_batch_size"]
        if written > max_batch_size:
            raise ValueError(
                f"config.pbtxt says max_batch_size: {written}, and auto_complete_config"
                f" {max_batch_size}"
            )
        self._config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self) -> None:
        """Raises ValueError if config.pbtxt batches sequences."""
        if "sequence_batching" in self._config:
            raise ValueError("config.pbtxt has sequence_batching, which excludes dynamic_batching")
        self._config.setdefault("dynamic_batching", {})

    def set_model_transaction_policy(self, transaction_policy: Mapping[str, bool]) -> None:
        """transaction_policy: {"decoupled": bool}. Raises ValueError if config.pbtxt says other."""
        if set(transaction_policy) - {"decoupled"}:
            raise ValueError("a transaction policy has the key 'decoupled' and no other")
        decoupled = bool(transaction_policy.get("decoupled"))
        if self._config.get("model_transaction_policy", {}).get("decoupled") and not decoupled:
            raise ValueError("config.pbtxt says decoupled, and auto_complete_config says not")
        self._config["model_transaction_policy"] = {"decoupled": decoupled}

    def add_input(self, given: Mapping[str, Any]) -> None:
        """given: name, data_type, dims, and optional. Raises ValueError as `add_output` does."""
        self._add("input", given, _FIELDS)

    def add_output(self, given: Mapping[str, Any]) -> None:
        """Raises ValueError for a key that is missing or unknown, or where config.pbtxt differs."""
        self._add("output", given, _FIELDS - {"optional"})

    def _add(self, kind: str, given: Mapping[str, Any], known: set[str]) -> None:
        if unknown := sorted(set(given) - known):
            raise ValueError(f"an {kind} has no key '{unknown[0]}'; use {', '.join(sorted(known))}")
        for key in ("name", "data_type", "dims"):
            if key not in given:
                raise ValueError(f"an {kind} lacks the key '{key}'")
        if given["data_type"] not in _TYPES:
            raise ValueError(f"'{given['data_type']}' is no data_type; use {', '.join(_TYPES)}")
        for there in self._config[kind]:
            if there["name"] == given["name"]:
                for key in ("data_type", "dims"):
                    if there[key] != given[key]:
                        raise ValueError(
                            f"config.pbtxt says {key} {there[key]} of {kind} '{given['name']}', and"
                            f" auto_complete_config {given[key]}"
                        )
                return
        self._config[kind].append(dict(given))


def get_input_config_by_name(model_config: Config, name: str) -> Config | None:
    """The input of a config that is parsed from JSON; None if it has none of that name."""
    return _named(model_config.get("input", []), name)


def get_output_config_by_name(model_config: Config, name: str) -> Config | None:
    """The output of a config that is parsed from JSON; None if it has none of that name."""
    return _named(model_config.get("output", []), name)


def _named(tensors: list[Config], name: str) -> Config | None:
    return next((tensor for tensor in tensors if tensor["name"] == name), None)


def triton_string_to_numpy(triton_type_string: str) -> type:
    """The numpy type of e.g. "TYPE_FP32". Raises TritonModelException for what numpy lacks."""
    try:
        return TRITON_STRING_TO_NUMPY[triton_type_string]
    except KeyError:
        raise TritonModelException(f"numpy has no type for {triton_type_string}") from None
