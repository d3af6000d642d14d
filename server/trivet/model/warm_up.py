"""A first request of our own, so that no caller pays for what an engine does only once."""

from __future__ import annotations

import numpy as np

from trivet.backend.contract import Batch, Instance, Rows
from trivet.clock import Clock
from trivet.config import ModelConfig, TensorSpec
from trivet_protos import wire

SIZE = 8  # of every dimension that varies


def warm_up(instance: Instance, config: ModelConfig, clock: Clock) -> None:
    """Run one row through an instance, in the thread that owns it.

    Raises what the engine raises. An answer that refuses the sample (a text without a mask token,
    say) is no fault: the path to it is warm.
    """
    inputs = {spec.name: sample(spec, config) for spec in config.inputs}
    instance.execute(Batch([Rows(inputs)], clock.now_ns))


def sample(spec: TensorSpec, config: ModelConfig) -> np.ndarray:
    """One row of zeros, or of a short text where the elements are BYTES."""
    own = tuple(SIZE if dim == -1 else dim for dim in spec.dims)
    shape = (1, *own) if config.max_batch_size else own
    if spec.datatype == "BYTES":
        return np.full(shape, b"warm up", dtype=object)
    return np.zeros(shape, dtype=wire.numpy_dtype(spec.datatype))
