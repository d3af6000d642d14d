"""Two vectors for each row to how alike they are."""

from __future__ import annotations

import numpy as np

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Parameters, Tensors
from trivet_backends.parameters import Reader

_VECTOR = ("batch", "width")

INPUTS = (
    TensorSpec(name="vector", datatype="FP32", dims=(-1, -1), symbols=_VECTOR),
    TensorSpec(name="vector_pair", datatype="FP32", dims=(-1, -1), symbols=_VECTOR),
)
OUTPUTS = (TensorSpec(name="SIMILARITY", datatype="FP32", dims=(-1, 1), symbols=("batch", "")),)


def make(config: ModelConfig, context: LoadContext, reader: Reader) -> Similarity:
    """It needs nothing."""
    return Similarity()


class Similarity:
    """Cosines."""

    def __call__(self, inputs: Tensors, parameters: Parameters) -> Tensors:
        """SIMILARITY float32 [rows, 1], -1 to 1, of vector and vector_pair, [rows, width].

        A zero vector is like nothing: 0. Raises InvalidInput if the two differ in shape.
        """
        first, second = inputs["vector"], inputs["vector_pair"]
        if first.shape != second.shape:
            raise InvalidInput(
                f"inputs 'vector' and 'vector_pair' have shapes {list(first.shape)} and "
                f"{list(second.shape)}; send [rows, width] twice"
            )
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        products = np.einsum("rw,rw->r", first, second)
        cosines = products / np.maximum(lengths, np.finfo(np.float32).tiny)
        return {"SIMILARITY": np.clip(cosines, -1, 1).astype(np.float32)[:, None]}
