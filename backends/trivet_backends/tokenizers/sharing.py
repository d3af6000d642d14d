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
from trivet_backends.tokenizers.loading import tokenizer_file, tokenizer_of

if TYPE_CHECKING:
    import tokenizers


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Opened:
    """A tokenizer that is only ever read, so that any thread may use it.

    It pads and truncates nothing; padding: what the file says of it. digest: of the file.
    """

    tokenizer: tokenizers.Tokenizer
    padding: Mapping[str, Any]
    digest: bytes


_opened: WeakValueDictionary[bytes, Opened] = WeakValueDictionary()  # by the file's digest
_lock = threading.Lock()  # versions load in threads of their own


def open_tokenizer(config: ModelConfig, context: LoadContext) -> Opened:
    """The version's tokenizer; whoever uses it keeps what is given here.

    Raises InvalidConfig: library not installed, no such file, or not a tokenizer.
    """
    # Read once: the file may be replaced meanwhile, and the digest tells what was opened.
    content = tokenizer_file(config, context).read_bytes()
    digest = hashlib.sha256(content).digest()
    with _lock:
        if (known := _opened.get(digest)) is not None:
            return known
        tokenizer = tokenizer_of(content, config, context)
        padding = dict(tokenizer.padding or {})
        # Once and for all: while one thread changes these, another that encodes gets "Already
        # borrowed". We pad and truncate ourselves.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return _opened.setdefault(digest, Opened(tokenizer, padding, digest))
