"""BERT in plain torch: what TorchScript, torch.export, CoreML and the .bin file are made from.

Modules are named so that `state_dict()` has the canonical names (`workshop/names.py`), hence a
checkpoint's weights are loaded as they are. Shapes are read off the inputs and never kept as
numbers, so that a trace holds for any batch and length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import Activation, BertConfig
from trivet_backends.workshop.heads import HEADS
from trivet_backends.workshop.options import GraphOptions, Pooling, Task
from trivet_backends.workshop.tensor_files import Float32

_MASKED = -10_000.0  # added to a masked key's score: exp() of it is zero
_ACTIVATE: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    Activation.GELU: F.gelu,
    Activation.GELU_TANH: lambda x: F.gelu(x, approximate="tanh"),
    Activation.RELU: F.relu,
    Activation.SILU: F.silu,
    Activation.TANH: torch.tanh,
}


class Embeddings(nn.Module):
    """Words, positions and segments to vectors."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_positions, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, config.layer_norm_eps)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        positions = self.position_embeddings.weight[: input_ids.shape[1]]
        words = self.word_embeddings(input_ids) + positions
        summed: Tensor = self.LayerNorm(words + self.token_type_embeddings(token_type_ids))
        return summed


class SelfAttention(nn.Module):
    """Every token looks at all tokens that `bias` does not hide."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.split = (config.heads, config.head_size)
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (
            part(hidden).unflatten(-1, self.split).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(self.split[1])
        return (torch.softmax(scores + bias, dim=-1) @ value).transpose(1, 2).flatten(2)


class Output(nn.Module):
    """A dense layer, what went into its part, and LayerNorm over both."""

    def __init__(self, into: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(into, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        normal: Tensor = self.LayerNorm(self.dense(x) + before)
        return normal


class Dense(nn.Module):
    """A dense layer and the activation."""

    def __init__(self, into: int, out: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(into, out)
        self.activate = _ACTIVATE[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.dense(x))


class Layer(nn.Module):
    """Attention, then the feed-forward part."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(config), "output": Output(config.hidden_size, config)}
        )
        self.intermediate = Dense(config.hidden_size, config.intermediate_size, config)
        self.output = Output(config.intermediate_size, config)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        context = self.attention["self"](hidden, bias)
        attended = self.attention["output"](context, hidden)
        outer: Tensor = self.output(self.intermediate(attended), attended)
        return outer


class PlainBert(nn.Module):
    """The encoder; heads are subclasses with a `forward` of their own."""

    def __init__(self, config: BertConfig, options: GraphOptions) -> None:
        super().__init__()
        self.options = options
        self.embeddings = Embeddings(config)
        layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.encoder = nn.ModuleDict({"layer": layers})

    def hidden_states(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> Tensor:
        """int64 [batch, tokens] each to float32 [batch, tokens, hidden]."""
        bias = (attention_mask == 0)[:, None, None, :].float() * _MASKED
        hidden: Tensor = self.embeddings(input_ids, token_type_ids)
        for layer in self.encoder["layer"]:
            hidden = layer(hidden, bias)
        return hidden


class Embed(PlainBert):
    """Gives embedding float32 [batch, hidden], and last_hidden_state if the options say so."""

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        hidden = self.hidden_states(input_ids, attention_mask, token_type_ids)
        embedding = _POOL[self.options.pooling](hidden, attention_mask != 0)
        if self.options.normalize:
            embedding = F.normalize(embedding, dim=-1)
        return (embedding, hidden) if self.options.hidden_state else embedding


class Transform(Dense):
    """The dense layer of the fill-mask head, normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config.hidden_size, config.hidden_size, config)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        normal: Tensor = self.LayerNorm(super().forward(x))
        return normal


class Predictions(nn.Module):
    """Vectors to a logit for each entry of the vocabulary."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = Transform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, vectors: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.transform(vectors)) + self.bias
        return logits


class FillMask(PlainBert):
    """Gives token_ids int64 and probabilities float32, [batch, masks, candidates], best first.

    With target_ids int64 [batch, targets], also their probabilities [batch, masks, targets].
    """

    def __init__(self, config: BertConfig, options: GraphOptions) -> None:
        super().__init__(config, options)
        self.width = config.hidden_size
        self.cls = nn.ModuleDict({"predictions": Predictions(config)})

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        mask_positions: Tensor,
        target_ids: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        hidden = self.hidden_states(input_ids, attention_mask, token_type_ids)
        # What is answered at a position of -1, the padding, is for nobody to read.
        # Not by clamp(min=0): CoreML makes floats of that.
        inside = torch.maximum(mask_positions, torch.zeros_like(mask_positions))
        index = inside[:, :, None].expand(-1, -1, self.width)
        chances = torch.softmax(self.cls["predictions"](hidden.gather(1, index)), dim=-1)
        best, ids = torch.topk(chances, self.options.candidates, dim=-1)
        if target_ids is None:
            return ids, best
        asked = torch.maximum(target_ids, torch.zeros_like(target_ids))
        of_targets = chances.gather(2, asked[:, None, :].expand(-1, chances.shape[1], -1))
        return ids, best, of_targets


class Trained(PlainBert):
    """A head of `workshop/heads.py`: numbers for the first token, or for every token."""

    def __init__(self, config: BertConfig, options: GraphOptions, outputs: int) -> None:
        super().__init__(config, options)
        self.head = HEADS[options.task]
        if self.head.pooled:
            self.pooler = nn.ModuleDict({"dense": nn.Linear(*[config.hidden_size] * 2)})
        *outer, name = self.head.dense.split(".")
        last: nn.Module = nn.ModuleDict({name: nn.Linear(config.hidden_size, outputs)})
        for name in reversed(outer):
            last = nn.ModuleDict({name: last})
        for name, module in last.named_children():
            self.add_module(name, module)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        hidden = self.hidden_states(input_ids, attention_mask, token_type_ids)
        if self.head.pooled:
            hidden = torch.tanh(self.pooler["dense"](cls_pool(hidden, attention_mask != 0)))
        logits: Tensor = self.get_submodule(self.head.dense)(hidden)
        match self.options.task:
            case Task.ANSWER:
                return logits[..., 0], logits[..., 1]
            case Task.NEXT_SENTENCE:
                return torch.softmax(logits, dim=-1)
        return logits


class Named(nn.Module):
    """A BERT that takes its inputs and gives its outputs by name."""

    def __init__(self, bert: nn.Module, outputs: Sequence[str]) -> None:
        super().__init__()
        self.bert = bert
        self.outputs = tuple(outputs)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        mask_positions: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """mask_positions: of fill_mask only."""
        masks = () if mask_positions is None else (mask_positions,)
        answer = self.bert(input_ids, attention_mask, token_type_ids, *masks)
        several = answer if isinstance(answer, tuple) else (answer,)
        return dict(zip(self.outputs, several, strict=True))


def plain_bert(
    config: BertConfig, weights: Mapping[str, Float32], options: GraphOptions
) -> PlainBert:
    """The BERT of these weights (by canonical name) with the head of `options.task`, for answers.

    A decoder that is not among the weights is the word embeddings, the same tensor.
    """
    bert = _with_head(config, weights, options)
    own = {name: torch.from_numpy(array) for name, array in weights.items()}
    own.setdefault(names.DECODER_WEIGHT, own[names.WORD_EMBEDDINGS])
    needed = bert.state_dict().keys()
    bert.load_state_dict({name: own[name] for name in needed}, assign=True)
    return bert.eval().requires_grad_(requires_grad=False)


def _with_head(
    config: BertConfig, weights: Mapping[str, Float32], options: GraphOptions
) -> PlainBert:
    if options.task in HEADS:
        outputs = weights[f"{HEADS[options.task].dense}.bias"].shape[0]
        return Trained(config, options, outputs)
    return (FillMask if options.task is Task.FILL_MASK else Embed)(config, options)


def mean_pool(hidden: Tensor, present: Tensor) -> Tensor:
    """The mean over the tokens that are present (bool [batch, tokens])."""
    weight = present[:, :, None].to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


def cls_pool(hidden: Tensor, present: Tensor) -> Tensor:
    """The first present token; zero for a row without one."""
    weight = present.to(hidden.dtype)
    first = weight * (weight.cumsum(1) == 1)
    return (hidden * first[:, :, None]).sum(1)


def max_pool(hidden: Tensor, present: Tensor) -> Tensor:
    """The largest value of each feature over the present tokens; zero for a row without one."""
    largest = hidden.masked_fill(~present[:, :, None], -math.inf).amax(1)
    return largest.masked_fill(~present.any(1)[:, None], 0.0)


_POOL: Mapping[Pooling, Callable[[Tensor, Tensor], Tensor]] = {
    Pooling.MEAN: mean_pool,
    Pooling.CLS: cls_pool,
    Pooling.MAX: max_pool,
}
