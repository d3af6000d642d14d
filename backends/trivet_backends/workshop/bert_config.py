"""What config.json says about a BERT: its geometry, as one frozen value.

`read_config` is the only place that knows the file's keys and their defaults (those of Hugging
Face's BertConfig). Whatever this workshop cannot build is refused here, by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from trivet.errors import Fault


class Activation(Enum):
    """The non-linearity of the feed-forward part; values are names for people."""

    GELU = "gelu"  # exact, by the error function
    GELU_TANH = "gelu_new"  # the tanh approximation
    RELU = "relu"
    SILU = "silu"
    TANH = "tanh"


# Every spelling of `hidden_act` that checkpoints use for the five above.
ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": Activation.GELU,
    "gelu_python": Activation.GELU,
    "gelu_new": Activation.GELU_TANH,
    "gelu_fast": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "relu": Activation.RELU,
    "silu": Activation.SILU,
    "swish": Activation.SILU,
    "tanh": Activation.TANH,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BertConfig:
    """The geometry of one BERT. All sizes are counts."""

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    max_positions: int  # tokens, special ones included
    type_vocab_size: int = 2  # segments
    layer_norm_eps: float = 1e-12
    activation: Activation = Activation.GELU
    pad_token_id: int = 0
    tied: bool | None = (
        None  # whether the MLM decoder is the word embeddings; None: as the file has it
    )

    @property
    def head_size(self) -> int:
        """The width of one attention head."""
        return self.hidden_size // self.heads


# Field of BertConfig -> key in config.json, for the sizes that have no usable default.
_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_positions": "max_position_embeddings",
}


def read_config(folder: Path, faults: list[Fault]) -> BertConfig | None:
    """Read `folder`/config.json. What is wrong is added to `faults`, and then None comes back."""
    where = f"{folder.name}/config.json"
    before = len(faults)
    raw = read_object(folder / "config.json", where, faults)
    if raw is None:
        return None
    if not _is_bert(raw, where, faults):
        return None  # another family's keys would only give misleading faults
    sizes = {field: _size(raw, key, where, faults) for field, key in _SIZES.items()}
    type_vocab_size = _size(raw, "type_vocab_size", where, faults, default=2)
    activation = _activation(raw, where, faults)
    eps = _eps(raw, where, faults)
    _check_position_embedding(raw, where, faults)
    _check_heads(sizes, where, faults)
    pad = _pad(raw, sizes["vocab_size"], where, faults)
    tied = _tied(raw, where, faults)
    if len(faults) > before:
        return None
    return BertConfig(
        **sizes,
        type_vocab_size=type_vocab_size,
        layer_norm_eps=eps,
        activation=activation,
        pad_token_id=pad,
        tied=tied,
    )


def read_object(path: Path, where: str, faults: list[Fault]) -> dict[str, Any] | None:
    """Read a JSON object. What is wrong is added to `faults`, and then None comes back."""
    cure = "give a checkpoint folder in the Hugging Face layout, with its config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        faults.append(Fault(where, "the file is missing", cure))
        return None
    except (OSError, ValueError) as error:
        faults.append(Fault(where, f"cannot be read as JSON ({error})", cure))
        return None
    if not isinstance(raw, dict):
        faults.append(Fault(where, "holds no JSON object", cure))
        return None
    return raw


def _is_bert(raw: Mapping[str, Any], where: str, faults: list[Fault]) -> bool:
    """Whether the file describes a BERT; very old files say it in `architectures` only."""
    architectures = raw.get("architectures")
    first = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    model_type = raw.get("model_type", "bert" if first.startswith("Bert") else None)
    if model_type == "bert":
        return True
    found = "is missing" if model_type is None else f"is {model_type!r}"
    faults.append(Fault(f"{where}: model_type", found, "only 'bert' checkpoints can be built"))
    return False


def _size(
    raw: Mapping[str, Any], key: str, where: str, faults: list[Fault], default: int | None = None
) -> int:
    value = raw.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    found = "is missing" if value is None else f"is {value!r}"
    faults.append(Fault(f"{where}: {key}", found, "give a whole number of at least 1"))
    return 0


def _activation(raw: Mapping[str, Any], where: str, faults: list[Fault]) -> Activation:
    name = raw.get("hidden_act", "gelu")
    if isinstance(name, str) and name in ACTIVATIONS:
        return ACTIVATIONS[name]
    known = ", ".join(sorted(ACTIVATIONS))
    faults.append(Fault(f"{where}: hidden_act", f"is {name!r}", f"known are {known}"))
    return Activation.GELU


def _eps(raw: Mapping[str, Any], where: str, faults: list[Fault]) -> float:
    eps = raw.get("layer_norm_eps", 1e-12)
    if isinstance(eps, int | float) and not isinstance(eps, bool) and 0 < eps < 1:
        return float(eps)
    faults.append(Fault(f"{where}: layer_norm_eps", f"is {eps!r}", "give a number between 0 and 1"))
    return 1e-12


def _check_position_embedding(raw: Mapping[str, Any], where: str, faults: list[Fault]) -> None:
    kind = raw.get("position_embedding_type") or "absolute"
    if kind != "absolute":
        cure = "only absolute position embeddings can be built"
        faults.append(Fault(f"{where}: position_embedding_type", f"is {kind!r}", cure))


def _check_heads(sizes: Mapping[str, int], where: str, faults: list[Fault]) -> None:
    hidden, heads = sizes["hidden_size"], sizes["heads"]
    if hidden and heads and hidden % heads:
        cure = f"hidden_size ({hidden}) must be a multiple of it"
        faults.append(Fault(f"{where}: num_attention_heads", f"is {heads}", cure))


def _pad(raw: Mapping[str, Any], vocab_size: int, where: str, faults: list[Fault]) -> int:
    pad = raw.get("pad_token_id")
    if pad is None:
        return 0  # BertConfig's own default
    if isinstance(pad, int) and not isinstance(pad, bool) and 0 <= pad < max(vocab_size, 1):
        return pad
    cure = f"give a token id below vocab_size ({vocab_size})"
    faults.append(Fault(f"{where}: pad_token_id", f"is {pad!r}", cure))
    return 0


def _tied(raw: Mapping[str, Any], where: str, faults: list[Fault]) -> bool | None:
    tied = raw.get("tie_word_embeddings")
    if tied is None or isinstance(tied, bool):
        return tied
    faults.append(Fault(f"{where}: tie_word_embeddings", f"is {tied!r}", "give true or false"))
    return None
