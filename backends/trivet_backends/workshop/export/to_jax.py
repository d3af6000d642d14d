"""JAX: the weights, and the program that takes them, as jax.export's StableHLO.

Inputs are int32, as JAX has them unless told otherwise. In Python:

    program = jax.export.deserialize(Path("model.stablehlo").read_bytes())
    outputs = program.call(safetensors.numpy.load_file("model.safetensors"), *inputs)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trivet_backends.workshop.export.source import Source, signature
from trivet_backends.workshop.graph.fill_mask import MASK_POSITIONS
from trivet_backends.workshop.options import GraphOptions
from trivet_backends.workshop.tensor_files import let_all_read

PROGRAM, WEIGHTS = "model.stablehlo", "model.safetensors"
_PLATFORMS = ("cpu", "cuda", "tpu")  # one program is lowered for all


def write_jax(source: Source, folder: Path) -> None:
    """Program and weights, for any batch, tokens and masks."""
    import jax
    from jax import export
    from safetensors.numpy import save_file

    from trivet_backends.workshop.export.plain_jax import PlainBert

    batch, tokens, masks = export.symbolic_shape("batch, tokens, masks")
    inputs = [
        jax.ShapeDtypeStruct((batch, masks if name == MASK_POSITIONS else tokens), np.int32)
        for name in signature(source.options).inputs
    ]
    weights = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype)
        for name, array in source.weights.items()
    }
    bert = jax.jit(PlainBert(config=source.config, options=source.options))
    program = export.export(bert, platforms=_PLATFORMS)(weights, *inputs)
    (folder / PROGRAM).write_bytes(program.serialize())
    save_file(dict(source.weights), folder / WEIGHTS)
    let_all_read(folder)


def run_jax(
    folder: Path, options: GraphOptions, inputs: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Load program and weights, and call the one with the other."""
    from jax import export
    from safetensors.numpy import load_file

    program = export.deserialize(bytearray((folder / PROGRAM).read_bytes()))
    arrays = (array.astype(np.int32) for array in inputs.values())
    return [np.asarray(output) for output in program.call(load_file(folder / WEIGHTS), *arrays)]
