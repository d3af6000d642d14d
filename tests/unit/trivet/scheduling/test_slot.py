"""What makes two requests fit for one batch without padding: the shape that a slot is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trivet.config import BatchPolicy, ModelConfig, TensorSpec
from trivet.request import Tensors
from trivet.scheduling.slot import measure_of

A = TensorSpec(name="a", datatype="FP32", dims=(-1,))
B = TensorSpec(name="b", datatype="FP32", dims=(-1,), optional=True)


def shape(inputs: Tensors, *specs: TensorSpec) -> object:
    config = ModelConfig(
        name="m", max_batch_size=8, inputs=specs, dynamic_batching=BatchPolicy(max_batch_size=8)
    )
    return measure_of(config)(inputs)[2]


def sized(**sizes: int) -> Tensors:
    return {name: np.zeros((1, size), np.float32) for name, size in sizes.items()}


def test_sizes_differ_and_so_do_shapes() -> None:
    assert shape(sized(a=2), A) == shape(sized(a=2), A)
    assert shape(sized(a=2), A) != shape(sized(a=3), A)


def test_the_sizes_of_a_ragged_input_make_no_difference() -> None:
    ragged = replace(A, ragged=True)
    assert shape(sized(a=2, b=1), ragged, B) == shape(sized(a=3, b=1), ragged, B)
    assert shape(sized(a=2, b=1), ragged, B) != shape(sized(a=2, b=2), ragged, B)


def test_who_sends_an_optional_input_shares_no_batch_with_who_does_not() -> None:
    assert shape(sized(a=2), A, B) != shape(sized(a=2, b=2), A, B)
    assert shape(sized(b=2), replace(A, optional=True), B) != shape(sized(a=2), A, B)
    ragged = replace(B, ragged=True)
    assert shape(sized(a=2), A, ragged) != shape(sized(a=2, b=2), A, ragged)
