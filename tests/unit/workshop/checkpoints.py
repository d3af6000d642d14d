"""Random BERT checkpoints for tests: any geometry, from a fixed seed, in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.tensor_files import Float32

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MASK_ID = 4
TINY = BertConfig(
    vocab_size=120,
    hidden_size=32,
    layers=2,
    heads=4,
    intermediate_size=64,
    max_positions=48,
)


def with_prefix(name: str) -> str:
    """Names as BertForMaskedLM stores them."""
    return name if name.startswith("cls.") else f"bert.{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a checkpoint folder is to look; the defaults are what transformers writes today."""

    config: BertConfig = TINY
    head: bool = True
    untied: bool = False
    rename: Callable[[str], str] = with_prefix
    dtype: Any = np.float32
    keys: Mapping[str, object] = field(default_factory=dict)  # of config.json; None leaves one out
    seed: int = 0


def random_weights(recipe: Recipe) -> dict[str, Float32]:
    """float32 by canonical name, spread as a trained model's: norms around 1, the rest around 0."""
    rng = np.random.default_rng(recipe.seed)
    shapes = names.encoder_shapes(recipe.config)
    if recipe.head:
        shapes |= names.head_shapes(recipe.config, tied=not recipe.untied)
    weights = {}
    for name, shape in shapes.items():
        array = rng.standard_normal(shape, np.float32) * np.float32(0.05)
        weights[name] = array + np.float32(name.endswith("LayerNorm.weight"))
    return weights


def write_checkpoint(folder: Path, recipe: Recipe | None = None) -> Path:
    """Write the folder and return it."""
    recipe = recipe or Recipe()
    folder.mkdir(parents=True)
    stored = {
        recipe.rename(name): array.astype(recipe.dtype)
        for name, array in random_weights(recipe).items()
    }
    save_file(stored, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_json(recipe)))
    word_tokenizer(recipe.config.vocab_size).save(str(folder / "tokenizer.json"))
    return folder


def config_json(recipe: Recipe) -> dict[str, object]:
    """config.json as transformers writes it."""
    config = recipe.config
    keys: dict[str, object] = {
        "model_type": "bert",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_positions,
        "type_vocab_size": config.type_vocab_size,
        "layer_norm_eps": config.layer_norm_eps,
        "hidden_act": config.activation.value,
        "pad_token_id": config.pad_token_id,
        **recipe.keys,
    }
    return {key: value for key, value in keys.items() if value is not None}


def word_tokenizer(vocab_size: int) -> Tokenizer:
    """A WordPiece tokenizer that knows letters alone and as endings: it can spell anything."""
    letters = "abcdefghijklmnopqrstuvwxyz.,;?"
    words = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)][:vocab_size]
    vocab = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer
