"""Tiny random BERT checkpoints with a trained task's head, as transformers writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.heads import ARCHITECTURES, HEADS
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.tensor_files import Float32

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,;?!'東京💡"
WORDS = ("the", "cat", "sat", "on", "mat", "ada", "love", "##lace", "london", "paris", "cafe")
VOCABULARY = (*SPECIALS, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS[:36]))

CONFIG = BertConfig(
    vocab_size=len(VOCABULARY),
    hidden_size=32,
    layers=2,
    heads=4,
    intermediate_size=64,
    max_positions=64,
)
NER_LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
CLASS_LABELS = ("negative", "neutral", "positive")


def write_head_checkpoint(
    folder: Path,
    task: Task,
    labels: Sequence[str] | None = None,
    *,
    problem_type: str | None = None,
    spread: float = 0.25,
    seed: int = 0,
) -> Path:
    """Write a checkpoint folder and return it.

    labels: None for the task's usual ones; without a meaning for answer and next_sentence.
    problem_type: of classify, as config.json says it. spread: of the weights; the larger, the
    further apart are the answers to two texts.
    """
    usual = NER_LABELS if task is Task.TAG_TOKENS else CLASS_LABELS
    labels = tuple(usual if labels is None else labels) if task.has_labels else ()
    folder.mkdir(parents=True)
    stored = head_weights(task, len(labels), spread=spread, seed=seed)
    renamed = {_stored_name(name): array for name, array in stored.items()}
    save_file(renamed, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(_config_json(task, labels, problem_type)))
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def head_weights(task: Task, labels: int, *, spread: float, seed: int) -> dict[str, Float32]:
    """Random weights by canonical name."""
    rng = np.random.default_rng(seed)
    head, hidden = HEADS[task], CONFIG.hidden_size
    shapes = names.encoder_shapes(CONFIG)
    shapes |= names.dense_shapes(head.dense, head.outputs or labels, hidden)
    if head.pooled:
        shapes |= names.dense_shapes(names.POOLER, hidden, hidden)
    weights = {}
    for name, shape in shapes.items():
        array = rng.standard_normal(shape, np.float32) * np.float32(spread)
        weights[name] = array + np.float32(name.endswith("LayerNorm.weight"))
    return weights


def tokenizer() -> Tokenizer:
    """A WordPiece tokenizer of bert-base-uncased's kind; it can spell anything in LETTERS."""
    vocabulary = {word: index for index, word in enumerate(VOCABULARY)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    made.add_special_tokens(list(SPECIALS))
    return made


def _stored_name(name: str) -> str:
    outside = ("cls.", names.CLASSIFIER, names.SPANS)
    return name if name.startswith(outside) else f"bert.{name}"


def _config_json(task: Task, labels: Sequence[str], problem_type: str | None) -> dict[str, object]:
    architecture = next(name for name, one in ARCHITECTURES.items() if one is task)
    keys: dict[str, object] = {
        "architectures": [architecture],
        "model_type": "bert",
        "vocab_size": CONFIG.vocab_size,
        "hidden_size": CONFIG.hidden_size,
        "num_hidden_layers": CONFIG.layers,
        "num_attention_heads": CONFIG.heads,
        "intermediate_size": CONFIG.intermediate_size,
        "max_position_embeddings": CONFIG.max_positions,
        "type_vocab_size": CONFIG.type_vocab_size,
        "layer_norm_eps": CONFIG.layer_norm_eps,
        "hidden_act": CONFIG.activation.value,
        "pad_token_id": CONFIG.pad_token_id,
    }
    if labels:
        keys["id2label"] = {str(number): label for number, label in enumerate(labels)}
        keys["label2id"] = {label: number for number, label in enumerate(labels)}
    if problem_type is not None:
        keys["problem_type"] = problem_type
    return keys
