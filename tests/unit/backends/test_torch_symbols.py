"""Which dimensions agree, found by trying: on a stand-in for a model that tells nothing."""

from __future__ import annotations

import numpy as np

from trivet.config import TensorSpec
from trivet.request import Tensors
from trivet_backends.torch.symbols import with_symbols


def spec(name: str, datatype: str = "INT64", dims: tuple[int, ...] = (-1,)) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, dims=dims)


def fill_mask(tensors: Tensors) -> Tensors:
    """As a fill-mask model: the tokens' inputs agree, masks are as many as they are."""
    tokens = np.stack([tensors["ids"], tensors["mask"], tensors["types"]])  # raises if they differ
    picked = np.take_along_axis(tokens.sum(axis=0), tensors["masks"], axis=1)
    return {"best": np.repeat(picked[:, :, None], 4, axis=2).astype(np.float32)}


def test_an_input_of_another_length_than_the_others_keeps_a_name_of_its_own() -> None:
    inputs = [spec(name) for name in ("ids", "mask", "types", "masks")]
    told = with_symbols(inputs, [spec("best", "FP32", (-1, 4))], 8, fill_mask)
    ids, mask, types, masks = (each.symbols for each in told.inputs)
    assert ids == mask == types
    assert ids[0] == masks[0]
    assert ids[1] != masks[1]
    assert told.outputs[0].symbols == (masks[0], masks[1], "")


def test_two_inputs_of_other_lengths_keep_a_name_each() -> None:
    def with_targets(tensors: Tensors) -> Tensors:
        targets = np.repeat(tensors["targets"][:, None], tensors["masks"].shape[1], axis=1)
        return {**fill_mask(tensors), "chances": targets.astype(np.float32)}

    inputs = [spec(name) for name in ("ids", "mask", "types", "masks", "targets")]
    outputs = [spec("best", "FP32", (-1, 4)), spec("chances", "FP32", (-1, -1))]
    told = with_symbols(inputs, outputs, 8, with_targets)
    ids, mask, types, masks, targets = (each.symbols for each in told.inputs)
    assert ids == mask == types
    assert len({ids[1], masks[1], targets[1]}) == 3
    assert told.outputs[1].symbols == (masks[0], masks[1], targets[1])


def test_inputs_that_all_agree_share_one_name() -> None:
    def add(tensors: Tensors) -> Tensors:
        return {"sum": np.stack(list(tensors.values())).sum(axis=0).astype(np.float32)}

    inputs = [spec(name) for name in ("ids", "mask", "types")]
    told = with_symbols(inputs, [spec("sum", "FP32")], 8, add)
    assert len({each.symbols for each in (*told.inputs, *told.outputs)}) == 1
