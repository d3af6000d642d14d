"""The names of a BERT's tensors: one canonical set, and how each checkpoint's names map to it.

Canonical names are Hugging Face's without the `bert.` prefix, with `weight` and `bias` for
LayerNorm, and `cls.predictions.bias` for the bias of the MLM decoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trivet_backends.workshop.bert_config import BertConfig

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
POSITION_EMBEDDINGS = "embeddings.position_embeddings.weight"
TYPE_EMBEDDINGS = "embeddings.token_type_embeddings.weight"
EMBEDDINGS_NORM = "embeddings.LayerNorm"
HEAD_DENSE = "cls.predictions.transform.dense"
HEAD_NORM = "cls.predictions.transform.LayerNorm"
DECODER_WEIGHT = "cls.predictions.decoder.weight"
DECODER_BIAS = "cls.predictions.bias"
POOLER = "pooler.dense"
CLASSIFIER = "classifier"
SPANS = "qa_outputs"
NEXT_SENTENCE = "cls.seq_relationship"

# Old names of TensorFlow checkpoints, kept by the first PyTorch ones.
_OLD_NORM_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_DECODER_BIAS_ALIAS = "cls.predictions.decoder.bias"


def canonical_name(name: str) -> str:
    """The canonical form of a checkpoint's tensor name; an unknown one loses its prefix only."""
    name = name.removeprefix("bert.")
    for old, new in _OLD_NORM_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def canonical_names(names: Mapping[str, object] | list[str]) -> dict[str, str]:
    """Map canonical names to the names the checkpoint itself uses.

    The decoder's bias may be stored once or twice under its two names; either will do.
    """
    found = {canonical_name(name): name for name in names}
    if DECODER_BIAS not in found and _DECODER_BIAS_ALIAS in found:
        found[DECODER_BIAS] = found[_DECODER_BIAS_ALIAS]
    return found


def layer_prefix(layer: int) -> str:
    """What the names of one layer's tensors begin with."""
    return f"encoder.layer.{layer}"


def layer_of(name: str) -> int | None:
    """The layer a canonical name belongs to, or None for the rest of the model."""
    parts = name.split(".")
    if parts[:2] == ["encoder", "layer"] and len(parts) > 2 and parts[2].isdigit():
        return int(parts[2])
    return None


def encoder_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the encoder with its shape; dense weights are [out, in]. No pooler."""
    hidden = config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {
        WORD_EMBEDDINGS: (config.vocab_size, hidden),
        POSITION_EMBEDDINGS: (config.max_positions, hidden),
        TYPE_EMBEDDINGS: (config.type_vocab_size, hidden),
        **dict(_norm(EMBEDDINGS_NORM, hidden)),
    }
    for layer in range(config.layers):
        shapes.update(_layer_shapes(layer_prefix(layer), config))
    return shapes


def head_shapes(config: BertConfig, *, tied: bool) -> dict[str, tuple[int, ...]]:
    """Every tensor of the MLM head with its shape; a tied decoder has no weight of its own."""
    shapes = {
        **dict(_dense(HEAD_DENSE, config.hidden_size, config.hidden_size)),
        **dict(_norm(HEAD_NORM, config.hidden_size)),
        DECODER_BIAS: (config.vocab_size,),
    }
    if not tied:
        shapes[DECODER_WEIGHT] = (config.vocab_size, config.hidden_size)
    return shapes


def dense_shapes(prefix: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    """A dense layer's weight, [out, in], and its bias."""
    return dict(_dense(prefix, out, into))


def _layer_shapes(prefix: str, config: BertConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner = config.hidden_size, config.intermediate_size
    for part in ("query", "key", "value"):
        yield from _dense(f"{prefix}.attention.self.{part}", hidden, hidden)
    yield from _dense(f"{prefix}.attention.output.dense", hidden, hidden)
    yield from _norm(f"{prefix}.attention.output.LayerNorm", hidden)
    yield from _dense(f"{prefix}.intermediate.dense", inner, hidden)
    yield from _dense(f"{prefix}.output.dense", hidden, inner)
    yield from _norm(f"{prefix}.output.LayerNorm", hidden)


def _dense(prefix: str, out: int, into: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{prefix}.weight", (out, into)
    yield f"{prefix}.bias", (out,)


def _norm(prefix: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{prefix}.weight", (width,)
    yield f"{prefix}.bias", (width,)
