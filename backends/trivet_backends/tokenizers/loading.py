"""Opening a `tokenizer.json`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig
from trivet.errors import Fault, InvalidConfig
from trivet_backends.checks import artifact_file, not_installed

if TYPE_CHECKING:
    import tokenizers


def load_tokenizer(config: ModelConfig, context: LoadContext) -> tokenizers.Tokenizer:
    """Read the version's tokenizer as it is.

    Raises InvalidConfig: library not installed, no such file, or not a tokenizer.
    """
    path = tokenizer_file(config, context)
    return tokenizer_of(path.read_bytes(), config, context)


def tokenizer_file(config: ModelConfig, context: LoadContext) -> Path:
    """Raises InvalidConfig if it is not there."""
    return artifact_file(context, config.default_model_filename or "tokenizer.json")


def tokenizer_of(content: bytes, config: ModelConfig, context: LoadContext) -> tokenizers.Tokenizer:
    """The tokenizer that the version's file holds. Raises InvalidConfig as `load_tokenizer`."""
    try:
        import tokenizers
    except ImportError as error:
        raise not_installed(context, config.backend, "server") from error
    # Only ever read by the library. Its own threads bring nothing here: a batch of 4 texts takes
    # 80 us of wall time with and without them, but 112 us of CPU instead of 83, and 32 texts save
    # 0.3 ms of some 80 that the model takes. They would take cores from the engine, and make
    # every later fork warn.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    path = tokenizer_file(config, context)
    try:
        return tokenizers.Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises bare Exception
        raise InvalidConfig(
            [
                Fault(
                    f"{context.where}/{path.name}",
                    f"tokenizers {tokenizers.__version__} cannot read it: {error}",
                    "copy the checkpoint's tokenizer.json",
                )
            ]
        ) from error
