"""Mean pooling for a classifier, as one more layer of the encoder.

A BertForSequenceClassification sees the first token alone, and sentence encoders were trained for
the mean of all tokens: on the frozen MiniLM movie reviews are told apart with 0.75 by the first
token and with 0.79 by the mean. A layer whose attention looks at all tokens alike gives every token
that mean, so the checkpoint stays what transformers, and everything else that reads a BERT,
computes rightly; a pooling of our own in config.json would be ignored there without a word. The
price is the time of one layer.
"""

from __future__ import annotations

from typing import Any

import torch

# The mean enters the layer's norm this many times as large as the token's own vector, which thus
# counts for nothing. FP16 holds it: vectors behind a norm are of the order of 1.
_LARGE = 1000.0


def append_mean_layer(model: Any) -> None:
    """Add the layer to a model of transformers; it does not learn."""
    import transformers

    layers = model.bert.encoder.layer
    extra = type(layers[0])(model.config, layer_idx=len(layers))
    attention = extra.attention
    identity = torch.eye(model.config.hidden_size)
    with torch.no_grad():
        for part in extra.parameters():
            part.zero_()  # no query, no key: equal attention; no feed-forward
        attention.self.value.weight.copy_(identity)
        attention.output.dense.weight.copy_(identity * _LARGE)
        attention.output.LayerNorm.weight.fill_(1)
        extra.output.LayerNorm.weight.fill_(1)
    extra.requires_grad_(False)
    for module in extra.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # 1000 times the mean is no place to drop from
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
    layers.append(extra)
    model.config.num_hidden_layers = len(layers)
    assert isinstance(model, transformers.PreTrainedModel)
