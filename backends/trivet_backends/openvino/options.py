"""How a model runs: the parameters a config may set, and what they become in the engine.

Names are those of Triton's OpenVINO backend; further ones are OpenVINO's own properties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trivet.config import ModelConfig
from trivet_backends.parameters import Parameter, Reader, one_of, whole

_YES_NO = {"yes": True, "no": False}
_AUTOMATIC = ("AUTO", "NUMA")  # numbers of streams that the engine works out


def _streams(text: str) -> str:
    word = text.strip().upper()
    if word not in _AUTOMATIC and int(word) < 1:
        raise ValueError(text)
    return word


# The engine's own default is BF16 wherever the CPU has it, whatever the model was checked in.
PRECISION = one_of(
    "INFERENCE_PRECISION_HINT",
    {"f32": "f32", "bf16": "bf16", "f16": "f16"},
    "f32",
    "What the engine computes in; 8-bit weights and INT8 layers are as the model has them.",
)
BF16 = one_of("HINT_BF16", _YES_NO, False, "The same as INFERENCE_PRECISION_HINT: bf16.")
HINT = one_of(
    "PERFORMANCE_HINT",
    {"latency": "LATENCY", "throughput": "THROUGHPUT"},
    "",
    "LATENCY: every batch on all cores; THROUGHPUT: every batch on its share of them. Without it "
    "both are ready and the load decides, at the price of the dense weights a second time.",
)
STREAMS: Parameter[str] = Parameter(
    name="NUM_STREAMS",
    read=_streams,
    expects="a whole number of at least 1, AUTO or NUMA",
    default="",
    meaning="Batches that are computed side by side; the cores are divided among them.",
)
THREADS = whole(
    "INFERENCE_NUM_THREADS", 0, "Threads of all streams together; 0: the cores it may use."
)
COMPILATION_THREADS = whole(
    "COMPILATION_NUM_THREADS", 0, "Threads that prepare the model; 0: as the engine likes."
)
# MiniLM with 8-bit weights, mean cosine to FP32 and ms for 32 tokens on two cores with VNNI:
# 0: 0.99959, 2.4; 32: 0.99929, 1.3; 128: 0.99853, 1.2 (FP32: 2.7). A row's answer is the same
# whatever its neighbours are, since groups lie within a row.
QUANTIZATION_GROUP = whole(
    "DYNAMIC_QUANTIZATION_GROUP_SIZE",
    32,
    "With 8-bit weights, activations are rounded to 8 bits in groups of so many; 0: they are not.",
)
RESHAPE = one_of(
    "RESHAPE_IO_LAYERS", _YES_NO, False, "Give the model's inputs the dims that the config has."
)
SKIP_BATCH = one_of(
    "SKIP_OV_DYNAMIC_BATCHSIZE",
    _YES_NO,
    False,
    "Makes no difference: batches are as the model's own dimensions allow.",
)
DEVICE = one_of("TARGET_DEVICE", {"cpu": "CPU"}, "CPU", "The device; only the CPU is served.")

PARAMETERS: tuple[Parameter[Any], ...] = (
    PRECISION,
    BF16,
    HINT,
    STREAMS,
    THREADS,
    COMPILATION_THREADS,
    QUANTIZATION_GROUP,
    RESHAPE,
    SKIP_BATCH,
    DEVICE,
)
_OF_ONE_MEANING: tuple[Parameter[Any], ...] = (SKIP_BATCH, DEVICE)
# Triton's, not served: name -> cure.
_REFUSED = {
    "CPU_EXTENSION_PATH": "convert the model to operators that OpenVINO has",
    "ENABLE_BATCH_PADDING": "give the model a batch dimension that varies, or let "
    "RESHAPE_IO_LAYERS: YES do it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one compiled model uses the cores."""

    streams: str  # batches side by side: a number, AUTO or NUMA
    threads: int  # of all streams together
    width: int  # cores a batch gets; 0 where the engine works it out


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A model's settings, read and valid."""

    precision: str  # f32, bf16 or f16
    hint: str  # LATENCY, THROUGHPUT; empty: as the load allows
    streams: str  # empty: of the number of instances
    threads: int  # 0: the cores it may use
    compilation_threads: int
    quantization_group: int
    reshape: bool

    @classmethod
    def read(cls, config: ModelConfig) -> Options:
        """Read a config's parameters. Raises InvalidConfig with every fault."""
        reader = Reader(config)
        reader.look_for_typos(PARAMETERS)
        for name, cure in _REFUSED.items():
            if config.parameters.get(name, "no").lower() != "no":
                reader.fault(name, "is not supported", cure)
        for parameter in _OF_ONE_MEANING:
            reader.value(parameter)  # must be no nonsense all the same
        precision = reader.value(PRECISION)
        if reader.value(BF16):
            if precision != "bf16" and PRECISION.name in config.parameters:
                cure = f"remove one of it and {PRECISION.name}"
                reader.fault(BF16.name, f"{PRECISION.name} says {precision}", cure)
            precision = "bf16"
        options = cls(
            precision=precision,
            hint=reader.value(HINT),
            streams=reader.value(STREAMS),
            threads=reader.value(THREADS),
            compilation_threads=reader.value(COMPILATION_THREADS),
            quantization_group=reader.value(QUANTIZATION_GROUP),
            reshape=reader.value(RESHAPE),
        )
        reader.done()
        return options

    def layouts(self, cores: int, instances: int) -> list[Layout]:
        """The compiled models that so many instances need, widest first: one or two.

        cores: those the model may use; no layout has more threads.
        """
        threads = min(self.threads or cores, cores)
        if self.streams in _AUTOMATIC:
            return [Layout(streams=self.streams, threads=threads, width=0)]
        if self.streams:
            return [_layout(int(self.streams), threads)]
        wide, narrow = _layout(1, threads), _layout(instances, threads)
        if self.hint == "LATENCY" or narrow == wide:
            return [wide]
        return [narrow] if self.hint == "THROUGHPUT" else [wide, narrow]

    def properties(self, layout: Layout) -> Mapping[str, str]:
        """The engine's own form of these options, for one compiled model."""
        found = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "NUM_STREAMS": layout.streams,
            "INFERENCE_NUM_THREADS": str(layout.threads),
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(self.quantization_group),
            # Threads that are bound to cores stand still while something else has their core.
            "ENABLE_CPU_PINNING": "NO",
        }
        if self.compilation_threads:
            found["COMPILATION_NUM_THREADS"] = str(self.compilation_threads)
        return found


def _layout(streams: int, threads: int) -> Layout:
    streams = min(streams, threads)
    return Layout(streams=str(streams), threads=threads, width=threads // streams)
