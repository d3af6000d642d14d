"""TorchScript, torch.export and pytorch_model.bin, from the plain BERT in torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import read_config
from trivet_backends.workshop.export.sample import trace_inputs
from trivet_backends.workshop.export.source import Source, signature
from trivet_backends.workshop.export.to_weights import copy_companions, stored_tensors
from trivet_backends.workshop.graph.fill_mask import MASK_POSITIONS
from trivet_backends.workshop.options import GraphOptions

if TYPE_CHECKING:
    import torch

TORCHSCRIPT, EXPORTED, STATE = "model.pt", "model.pt2", "pytorch_model.bin"
_LARGEST_BATCH = 4096  # rows; torch.export wants an end to every range


def write_torchscript(source: Source, folder: Path) -> None:
    """A traced module; its forward's arguments are named as the inputs."""
    import torch

    torch.jit.save(traced(source), folder / TORCHSCRIPT)


def run_torchscript(
    folder: Path, options: GraphOptions, inputs: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Load the file and run it."""
    import torch

    with _quiet():
        return _run(torch.jit.load(folder / TORCHSCRIPT), inputs)


def write_exported(source: Source, folder: Path) -> None:
    """A torch.export program for any batch, tokens and masks; it answers outputs by name."""
    import torch

    from trivet_backends.workshop.export.plain_torch import Named

    bert = Named(_bert(source), signature(source.options).outputs)
    tensors = _tensors(trace_inputs(source.checkpoint, source.options))
    dims = _dims(tensors, source.config.max_positions)
    with _quiet():
        program = torch.export.export(bert, (), tensors, dynamic_shapes=dims)
        torch.export.save(program, folder / EXPORTED)


def run_exported(
    folder: Path, options: GraphOptions, inputs: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Load the file and run it."""
    import torch

    with _quiet(), torch.inference_mode():
        outputs = torch.export.load(folder / EXPORTED).module()(**_tensors(inputs))
        return [outputs[name].numpy() for name in signature(options).outputs]


def write_state(source: Source, folder: Path) -> None:
    """pytorch_model.bin beside config and tokenizer, as transformers' from_pretrained reads it."""
    import torch

    torch.save(_tensors(stored_tensors(source)), folder / STATE)
    copy_companions(source, folder)


def run_state(
    folder: Path, options: GraphOptions, inputs: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Read the file as tensors and nothing else, and run the plain BERT on them."""
    import torch

    from trivet_backends.workshop.export.plain_torch import plain_bert

    stored = torch.load(folder / STATE, weights_only=True)
    weights = {
        name: stored[key].numpy() for name, key in names.canonical_names(list(stored)).items()
    }
    config = read_config(folder, [])
    assert config is not None, "it was read before it was copied"
    return _run(plain_bert(config, weights, options), inputs)


def traced(source: Source) -> torch.jit.ScriptModule:
    """The plain BERT as TorchScript."""
    import torch

    inputs = tuple(_tensors(trace_inputs(source.checkpoint, source.options)).values())
    with _quiet(), torch.no_grad():
        # Unchecked: torch would run the very same inputs again; ours are checked in other shapes.
        module: torch.jit.ScriptModule = torch.jit.trace(_bert(source), inputs, check_trace=False)
    return module


def _bert(source: Source) -> torch.nn.Module:
    from trivet_backends.workshop.export.plain_torch import plain_bert

    return plain_bert(source.config, source.weights, source.options)


def _dims(inputs: Mapping[str, torch.Tensor], max_positions: int) -> dict[str, dict[int, Any]]:
    from torch.export import Dim

    batch = Dim("batch", min=1, max=_LARGEST_BATCH)
    tokens, masks = (Dim(name, min=1, max=max_positions) for name in ("tokens", "masks"))
    return {name: {0: batch, 1: masks if name == MASK_POSITIONS else tokens} for name in inputs}


def _run(module: torch.nn.Module, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    import torch

    with torch.inference_mode():
        return _arrays(module(*_tensors(inputs).values()))


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _arrays(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> list[np.ndarray]:
    several = outputs if isinstance(outputs, tuple | list) else (outputs,)
    return [output.numpy() for output in several]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's advice to move on from TorchScript: it is what is asked for here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
