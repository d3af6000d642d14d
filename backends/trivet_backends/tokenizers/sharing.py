"""One tokenizer in memory for all models that have the same file: a vocabulary takes 6 to 10 MB."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig
from trivet_backends.checks import artifact_file
from trivet_backends.tokenizers.loading import load_tokenizer

if TYPE_CHECKING:
    import tokenizers


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Opened:
    """A tokenizer that is only ever read, so that any thread may use it.

    It pads and truncates nothing; padding: what the file says of it.
    """

    tokenizer: tokenizers.Tokenizer
    padding: Mapping[str, Any]


_opened: WeakValueDictionary[bytes, Opened] = WeakValueDictionary()  # by the file's digest
_lock = threading.Lock()  # versions load in threads of their own


def open_tokenizer(config: ModelConfig, context: LoadContext) -> Opened:
    """The version's tokenizer; whoever uses it keeps what is given here.

    Raises InvalidConfig: library not installed, no such file, or not a tokenizer.
    """
    path = artifact_file(context, config.default_model_filename or "tokenizer.json")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    with _lock:
        if (known := _opened.get(digest)) is not None:
            return known
        tokenizer = load_tokenizer(config, context)
        padding = dict(tokenizer.padding or {})
        # Once and for all: while one thread changes these, another that encodes gets "Already
        # borrowed". We pad and truncate ourselves.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return _opened.setdefault(digest, Opened(tokenizer, padding))
