"""Names of dimensions for artifacts that tell none: the parameters `symbols.<tensor>`.

A parameter names the tensor's dimensions as the config lists them, e.g. "tokens" or "tokens,width";
an empty name is a size that follows no input. What shares a name has the same size in a request, so
outputs can be cut back to it.
"""

from __future__ import annotations

from dataclasses import replace

from trivet.backend.contract import Signature
from trivet.config import ModelConfig, TensorSpec
from trivet_backends.parameters import Reader

SYMBOLS = "symbols."


def signature(config: ModelConfig, reader: Reader) -> Signature:
    """The config's tensors as an artifact would tell them: batch dimension and symbols added."""

    def told(spec: TensorSpec) -> TensorSpec:
        name = f"{SYMBOLS}{spec.name}"
        written = config.parameters.get(name, "," * (len(spec.dims) - 1))
        symbols = tuple(symbol.strip() for symbol in written.split(",")) if spec.dims else ()
        if len(symbols) != len(spec.dims):
            what = f"it names {len(symbols)} dimensions of {len(spec.dims)}"
            reader.fault(name, what, "name each of dims, with nothing between commas for none")
        if not config.max_batch_size:
            return replace(spec, symbols=symbols)
        return replace(spec, dims=(-1, *spec.dims), symbols=("batch", *symbols))

    return Signature(
        inputs=tuple(map(told, config.inputs)), outputs=tuple(map(told, config.outputs))
    )
