"""Tiny TorchScript and torch.export models, and a mark for tests that need the engine."""

from __future__ import annotations

import warnings
from itertools import count
from pathlib import Path
from typing import Any

from tests.harness.artifacts import EMBEDDINGS
from tests.harness.toolchains import needs

_numbers = count()

needs_torch = needs("torch")


def pooling_module(answer: str = "dict") -> Any:
    """`artifacts.write_pooling_graph` as a module; answer: dict, or tuple."""
    import torch

    class Pooling(torch.nn.Module):  # type: ignore[misc]  # whose types mypy does not read
        def __init__(self) -> None:
            super().__init__()
            weights = torch.from_numpy(EMBEDDINGS.copy())
            self.words = torch.nn.Embedding.from_pretrained(weights)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            hidden = self.words(input_ids)
            weight = attention_mask.to(hidden.dtype).unsqueeze(2)
            embedding = (hidden * weight).sum(1) / weight.sum(1)
            if answer == "dict":
                return {"hidden": hidden, "embedding": embedding}
            return hidden, embedding

    return Pooling().eval()


def _example() -> tuple[Any, Any]:
    import torch

    # Two tensors: of one given twice, tracing makes one input.
    return torch.ones(2, 5, dtype=torch.long), torch.ones(2, 5, dtype=torch.long)


def write_scripted_pooling(folder: Path, answer: str = "dict") -> Path:
    """model.pt, whose forward takes input_ids and attention_mask."""
    import torch

    module = pooling_module(answer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated, that a dict is traced
        traced = torch.jit.trace(module, _example(), strict=False)
        return save_scripted(traced, folder)


def scripted(source: str) -> Any:
    """A TorchScript module of the source of its forward."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # A class of its own: methods are defined for all instances of one.
        module = type(f"Scripted{next(_numbers)}", (torch.jit.ScriptModule,), {})()
        module.define(source)
        return module


def save_scripted(module: Any, folder: Path) -> Path:
    path = folder / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.save(str(path))
    return path


def write_exported_pooling(folder: Path, answer: str = "dict", tokens: int = 512) -> Path:
    """model.pt2 with a batch of up to 64 rows and so many tokens."""
    import torch

    ids, mask = _example()
    dims = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("tokens", max=tokens)}
    program = torch.export.export(
        pooling_module(answer),
        (ids,),
        {"attention_mask": mask},
        dynamic_shapes={"input_ids": dims, "attention_mask": dims},
    )
    path = folder / "model.pt2"
    torch.export.save(program, path)
    return path
