"""What a build must know of tokenizer.json, and of the pooling a model was trained with."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import Fault
from trivet_backends.workshop.options import Pooling

# What BERT-like tokenizers call the token to be guessed, in the order looked for.
_MASK_TOKENS = ("[MASK]", "<mask>")
# What a tokenizer is kept in; tokenizer.json alone is always there.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
# sentence-transformers' keys for the poolings that can be built.
_POOLING_KEYS = {
    "pooling_mode_mean_tokens": Pooling.MEAN,
    "pooling_mode_cls_token": Pooling.CLS,
    "pooling_mode_max_tokens": Pooling.MAX,
}


def copy_tokenizer(source: Path, target: Path) -> tuple[str, ...]:
    """Copy what one folder has of TOKENIZER_FILES to another; returns their names."""
    found = tuple(name for name in TOKENIZER_FILES if (source / name).is_file())
    for name in found:
        shutil.copyfile(source / name, target / name)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """What is known of a tokenizer without keeping it in memory."""

    mask_token_id: int | None  # None: it has no mask token


def read_tokenizer(
    folder: Path, vocab_size: int | None, faults: list[Fault]
) -> TokenizerFacts | None:
    """Read `folder`/tokenizer.json; `vocab_size` is the model's, None where it is not known."""
    from tokenizers import Tokenizer

    path, where = folder / "tokenizer.json", f"{folder.name}/tokenizer.json"
    if not path.is_file():
        cure = (
            "make one from vocab.txt with "
            "BertTokenizerFast.from_pretrained(folder).save_pretrained(folder) of transformers"
        )
        faults.append(Fault(where, "the file is missing", cure))
        return None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers package raises plain Exception
        faults.append(Fault(where, f"is no tokenizer ({error})", "fetch or make it again"))
        return None
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if vocab_size is not None and highest >= vocab_size:
        cure = f"the model knows {vocab_size} (vocab_size); use the tokenizer it was trained with"
        faults.append(Fault(where, f"gives token ids up to {highest}", cure))
        return None
    masks = (tokenizer.token_to_id(token) for token in _MASK_TOKENS)
    return TokenizerFacts(mask_token_id=next((mask for mask in masks if mask is not None), None))


def trained_pooling(folder: Path) -> Pooling | None:
    """The pooling `folder`/1_Pooling/config.json of a sentence-transformers model names, if any."""
    try:
        raw = json.loads((folder / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(raw, dict):
        return None
    chosen = [name for key, name in _POOLING_KEYS.items() if raw.get(key) is True]
    return chosen[0] if len(chosen) == 1 else None
