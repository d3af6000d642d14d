"""The model that learns: transformers' BERT with a head, and the part of it that moves.

Weights come through the workshop's own reader, so every checkpoint that can be built can be learned
from: old names, FP16, BF16 and the compact 8-bit form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.checkpoint import Checkpoint
from trivet_backends.workshop.finetune.examples import HeadTask
from trivet_backends.workshop.names import NEXT_SENTENCE, canonical_names
from trivet_backends.workshop.tensor_files import let_all_read, list_tensors, read_tensor

CLASSES = {
    HeadTask.CLASSIFY: "BertForSequenceClassification",
    HeadTask.MULTI_LABEL: "BertForSequenceClassification",
    HeadTask.REGRESSION: "BertForSequenceClassification",
    HeadTask.NEXT_SENTENCE: "BertForNextSentencePrediction",
    HeadTask.TAG_TOKENS: "BertForTokenClassification",
    HeadTask.ANSWER: "BertForQuestionAnswering",
    HeadTask.FILL_MASK: "BertForMaskedLM",
}
# How transformers, and the server by it, makes scores of logits: softmax, a sigmoid each, or none.
_PROBLEMS = {
    HeadTask.CLASSIFY: "single_label_classification",
    HeadTask.MULTI_LABEL: "multi_label_classification",
    HeadTask.REGRESSION: "regression",
}
# The module of the head in transformers' class.
_HEADS = {
    HeadTask.CLASSIFY: "classifier",
    HeadTask.MULTI_LABEL: "classifier",
    HeadTask.REGRESSION: "classifier",
    HeadTask.NEXT_SENTENCE: "cls",
    HeadTask.TAG_TOKENS: "classifier",
    HeadTask.ANSWER: "qa_outputs",
    HeadTask.FILL_MASK: "cls",
}


def make_model(
    checkpoint: Checkpoint,
    task: HeadTask,
    labels: Sequence[str],
    *,
    dropout: float | None,
    seed: int,
) -> Any:
    """A BertFor... with the checkpoint's weights; a head that it does not have is made of the seed.

    A classifier of the checkpoint is taken on if it was trained for these labels, in this order.
    """
    import transformers

    transformers.utils.logging.set_verbosity_error()  # it would tell of a new head at length
    transformers.utils.logging.disable_progress_bar()
    config = transformers.BertConfig.from_pretrained(checkpoint.folder)
    had_labels = [config.id2label[place] for place in sorted(config.id2label)]
    has_labels = task.built_as in ("classify", "tag_tokens")
    if has_labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: place for place, label in enumerate(labels)}
    if task in _PROBLEMS:
        config.problem_type = _PROBLEMS[task]
    if dropout is not None:
        config.classifier_dropout = dropout
    torch.manual_seed(seed)
    model = getattr(transformers, CLASSES[task])(config)
    stored = _stored(checkpoint, keep_head=not has_labels or had_labels == list(labels))
    wanted = model.state_dict()
    fitting = {
        name: torch.from_numpy(array)
        for name, array in stored.items()
        if name in wanted and wanted[name].shape == array.shape
    }
    left = model.load_state_dict(fitting, strict=False).missing_keys
    _check_encoder_is_there(checkpoint, left)
    model.tie_weights()
    return model


def _stored(checkpoint: Checkpoint, *, keep_head: bool) -> Mapping[str, np.ndarray]:
    """The checkpoint's weights by transformers' names: encoder, pooler, heads."""
    encoder = {
        name if name.startswith("cls.") else f"bert.{name}": array
        for name, array in checkpoint.weights().items()
    }
    in_files = list_tensors(checkpoint.folder, [])
    heads = {
        f"bert.{name}" if name.startswith("pooler.") else name: read_tensor(
            in_files[key], checkpoint.scales
        )
        for name, key in canonical_names(in_files).items()
        if name.startswith("pooler.")
        or (keep_head and name.startswith(("classifier.", "qa_outputs.", f"{NEXT_SENTENCE}.")))
        if ".scale" not in name
    }
    return {**encoder, **heads}


def _check_encoder_is_there(checkpoint: Checkpoint, missing: Sequence[str]) -> None:
    for name in missing:
        if name.startswith("bert.") and not name.startswith("bert.pooler."):
            cure = "give a whole checkpoint"
            where = f"{checkpoint.folder.name}/model.safetensors: {name}"
            raise InvalidConfig([Fault(where, "the tensor is missing", cure)])


def keep_layers(model: Any, count: int) -> None:
    """Take all layers of the encoder but the first `count` away."""
    model.bert.encoder.layer = model.bert.encoder.layer[:count]
    model.config.num_hidden_layers = count


class Trainee(nn.Module):  # type: ignore[misc]  # torch is not there when types are checked
    """The part of a model that learns, from ids or from features of a frozen encoder to logits.

    It holds the very modules of the model, so what it learns the model knows. A frozen encoder is
    no part of it: it is neither kept in checkpoints nor sent between processes.
    """

    def __init__(self, model: Any, task: HeadTask, *, frozen: bool) -> None:
        super().__init__()
        self.encoder: Any = None if frozen else model.bert
        self.head = getattr(model, _HEADS[task])
        has_pooler = task.is_of_texts
        self.pooler = model.bert.pooler if has_pooler and frozen else None
        self.dropout = getattr(model, "dropout", nn.Identity())
        self._has_pooler = has_pooler
        if frozen:
            learning = {id(part) for part in self.pooler.parameters()} if self.pooler else set()
            for part in model.bert.parameters():  # with them, of fill-mask's head the tied decoder
                part.requires_grad_(id(part) in learning)

    def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """float32 [asked, labels]: logits for each token that is asked for.

        batch: either features, float32 [asked, width]; or input_ids, attention_mask and
        token_type_ids, int64 [rows, tokens], and places, int64 [asked, 2]: row and token.
        """
        if self.encoder is None:
            vectors = batch["features"]
        else:
            names = ("input_ids", "attention_mask", "token_type_ids")
            hidden = self.encoder(**{name: batch[name] for name in names}).last_hidden_state
            vectors = hidden[batch["places"][:, 0], batch["places"][:, 1]]
        if self._has_pooler:
            pooler = self.encoder.pooler if self.pooler is None else self.pooler
            vectors = pooler(vectors[:, None])
        return self.head(self.dropout(vectors))


def write_weights(model: Any, folder: Path) -> None:
    """config.json and model.safetensors, as transformers names and reads them."""
    model.save_pretrained(folder, safe_serialization=True)
    let_all_read(folder)
