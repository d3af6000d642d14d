"""The variant for torch: dynamic INT8 as TorchScript, from a checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.options import GraphOptions, Task
from trivet_backends.workshop.quantize.options import Weights

_WORDS = "embeddings.word_embeddings"


def write_dynamic(
    checkpoint: Path,
    options: GraphOptions,
    weights: Weights,
    sample: Mapping[str, np.ndarray],
    target: Path,
) -> None:
    """8-bit weights of dense layers and the words' table, activations rounded per batch; traced."""
    import torch
    from torch.ao import quantization

    from trivet_backends.workshop.export.plain_torch import plain_bert

    if weights.symmetric is False:
        cure = "leave --no-symmetric out, or leave torch-int8 out"
        raise InvalidConfig([Fault("torch-int8", "torch's weights are symmetric", cure)])
    read = read_checkpoint(checkpoint, options.task)
    assert read.config is not None
    dense = (
        quantization.per_channel_dynamic_qconfig
        if weights.per_channel
        else quantization.default_dynamic_qconfig
    )
    parts: dict[object, object] = {torch.nn.Linear: dense}
    if options.task is not Task.FILL_MASK:  # its decoder multiplies with the table, too
        parts[_WORDS] = quantization.float_qparams_weight_only_qconfig
    inputs = tuple(torch.from_numpy(array) for array in sample.values())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # advice to move on from what is asked for
        small = quantization.quantize_dynamic(
            plain_bert(read.config, read.weights(), options).eval(),
            parts,
        )
        torch.jit.save(torch.jit.trace(small, inputs, check_trace=False), target)
