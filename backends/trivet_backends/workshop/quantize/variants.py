"""What a model can become: every variant, what runs it and what it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec

from trivet.errors import Fault, InvalidConfig


class Engine(StrEnum):
    """What runs a variant; the value is the backend's name."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TORCH = "torch"

    @property
    def file(self) -> str:
        """The version's file that the backend opens."""
        return {"onnxruntime": "model.onnx", "openvino": "model.xml", "torch": "model.pt"}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to store and compute a model.

    packages: what must be installed -> the extra that brings it.
    parameters: of config.pbtxt, beside the source's: name -> (value, why).
    """

    name: str
    engine: Engine
    about: str
    bits: int
    packages: Mapping[str, str] = field(default_factory=dict)
    calibrated: bool = False
    parameters: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def missing(self) -> dict[str, str]:
        """The packages that are not installed -> their extras."""
        return {name: extra for name, extra in self.packages.items() if find_spec(name) is None}


_OPENVINO = {"openvino": "openvino"}
_PRECISION = "INFERENCE_PRECISION_HINT"

SOURCE = Variant(name="source", engine=Engine.ONNXRUNTIME, about="the FP32 graph", bits=32)
ONNX_INT8_DYNAMIC = Variant(
    name="onnx-int8-dynamic",
    engine=Engine.ONNXRUNTIME,
    about="8-bit weights; activations are rounded to 8 bits as each batch has them",
    bits=8,
)
ONNX_INT8_STATIC = Variant(
    name="onnx-int8-static",
    engine=Engine.ONNXRUNTIME,
    about="8-bit weights and activations (QDQ), ranges from the calibration texts",
    bits=8,
    calibrated=True,
)
ONNX_FP16 = Variant(
    name="onnx-fp16",
    engine=Engine.ONNXRUNTIME,
    about="weights stored in FP16 and computed with in FP32",
    bits=16,
)
OPENVINO_INT8_WEIGHTS = Variant(
    name="openvino-int8-weights",
    engine=Engine.OPENVINO,
    about="8-bit weights; activations are rounded to 8 bits in groups within a row",
    bits=8,
    packages=_OPENVINO,
    # Rounded by what the calibration texts multiply: of MiniLM's neighbours 0.946, 0.958 and 0.965
    # stay in three choices of 1,000 sentences of films (to the nearest: 0.946 and 0.948 in two).
    # Activations are in groups of 32, the server's default; groups of 16 keep 0.002 to 0.007 more,
    # but were seen to take twice as long on MiniLM.
    calibrated=True,
)
OPENVINO_INT8_STATIC = Variant(
    name="openvino-int8-static",
    engine=Engine.OPENVINO,
    about="8-bit weights and activations (NNCF), ranges from the calibration texts",
    bits=8,
    packages={**_OPENVINO, "nncf": "nncf"},
    calibrated=True,
)
OPENVINO_FP16 = Variant(
    name="openvino-fp16",
    engine=Engine.OPENVINO,
    about="weights stored in FP16 and computed with in FP32",
    bits=16,
    packages=_OPENVINO,
)
OPENVINO_BF16 = Variant(
    name="openvino-bf16",
    engine=Engine.OPENVINO,
    about="weights stored in FP16 and computed with in BF16",
    bits=16,
    packages=_OPENVINO,
    parameters={_PRECISION: ("bf16", "What it was checked in; a CPU without it refuses.")},
)
TORCH_INT8 = Variant(
    name="torch-int8",
    engine=Engine.TORCH,
    about="TorchScript; 8-bit weights, activations are rounded as each batch has them",
    bits=8,
    packages={"torch": "torch"},
)

VARIANTS: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        ONNX_INT8_DYNAMIC,
        ONNX_INT8_STATIC,
        ONNX_FP16,
        OPENVINO_INT8_WEIGHTS,
        OPENVINO_INT8_STATIC,
        OPENVINO_FP16,
        OPENVINO_BF16,
        TORCH_INT8,
    )
}


def chosen(text: str | None) -> tuple[list[Variant], dict[str, str]]:
    """The variants to make, and why others are left out, by name.

    text: names with commas; None for all that can be made here.
    Raises InvalidConfig for a name that is none, one named twice, and one named whose packages are
    not installed, naming their extras.
    """
    if text is None:
        ready = [variant for variant in VARIANTS.values() if not variant.missing]
        missing = (variant for variant in VARIANTS.values() if variant.missing)
        return ready, {variant.name: _lacks(variant)[1] for variant in missing}
    names = [name.strip() for name in text.split(",")]
    faults = _faults(names)
    if faults:
        raise InvalidConfig(faults)
    return [VARIANTS[name] for name in names], {}


def _faults(names: Sequence[str]) -> list[Fault]:
    faults = []
    for name in dict.fromkeys(names):
        variant = VARIANTS.get(name)
        if variant is None:
            cure = "known are " + ", ".join(VARIANTS)
            faults.append(Fault("--variants", f"there is no variant '{name}'", cure))
        elif names.count(name) > 1:
            faults.append(Fault("--variants", f"'{name}' is named twice", "name it once"))
        elif variant.missing:
            faults.append(Fault(f"--variants {name}", *_lacks(variant)))
    return faults


def _lacks(variant: Variant) -> tuple[str, str]:
    extras = ",".join(dict.fromkeys(variant.missing.values()))
    return f"{', '.join(variant.missing)} not installed", f"pip install 'trivet[{extras}]'"
