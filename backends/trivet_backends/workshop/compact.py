"""The compact form of a checkpoint: 8 bits a weight, so that a small model fits into a repository.

Every large matrix [out, in] becomes int8 with one float32 scale per output channel (for a table of
embeddings: per row), named as before and with `.scale`; biases, norms and small tables stay
float32. The file's metadata names the scheme, and `read_checkpoint` reads it like any other.

    python -m trivet_backends.workshop.compact SOURCE TARGET
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trivet.errors import ServeError
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.tensor_files import (
    INT8_PER_OUTPUT_CHANNEL,
    SCALE_SUFFIX,
    SCHEME_KEY,
    Float32,
    let_all_read,
)

# Below this many elements a matrix is too small for 8 bits to save anything worth its error.
_SMALLEST = 4096
_WEIGHTS = "model.safetensors"
_COPIED = ("config.json", "tokenizer.json")


def quantized(matrix: Float32) -> tuple[np.ndarray, Float32]:
    """float32 [out, in] to int8 of that shape and float32 scales [out], whose product it is."""
    scale = np.maximum(np.abs(matrix).max(axis=1), np.float32(1e-30)) / np.float32(127)
    return np.rint(matrix / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def write_compact(source: Path, target: Path) -> None:
    """Write the checkpoint `source` in the compact form to `target`, in place of what is there.

    The encoder and the MLM head are kept; other heads and the pooler, which no build reads, not.
    Raises InvalidConfig if `source` is no good checkpoint.
    """
    from safetensors.numpy import save_file

    checkpoint = read_checkpoint(source)
    tensors: dict[str, np.ndarray] = {}
    for name, array in checkpoint.weights().items():
        if array.ndim == 2 and array.size >= _SMALLEST:
            tensors[name], tensors[name + SCALE_SUFFIX] = quantized(array)
        else:
            tensors[name] = array
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compact-", dir=target) as scratch:
        save_file(tensors, Path(scratch, _WEIGHTS), {SCHEME_KEY: INT8_PER_OUTPUT_CHANNEL})
        let_all_read(Path(scratch))
        for name in _COPIED:
            shutil.copyfile(source / name, Path(scratch, name))
        for name in (_WEIGHTS, *_COPIED):
            Path(scratch, name).replace(target / name)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line above. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m trivet_backends.workshop.compact",
        description="Write a BERT checkpoint with 8 bits a weight, for trivet build to read back.",
    )
    parser.add_argument("source", type=Path, help="checkpoint folder to read")
    parser.add_argument("target", type=Path, help="folder to write; what it holds is replaced")
    given = parser.parse_args(arguments)
    try:
        write_compact(given.source, given.target)
    except ServeError as error:
        print(f"compact: {error}", file=sys.stderr)
        return 1
    size = (given.target / _WEIGHTS).stat().st_size
    print(f"{given.target / _WEIGHTS}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
