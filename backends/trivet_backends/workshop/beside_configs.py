"""The configs of what a build makes beside its pipeline, see `beside`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.config_text import (
    Step,
    Tensor,
    labelling_config,
    model_config,
    pipeline_config,
)
from trivet_backends.workshop.graph.embed import EMBEDDING
from trivet_backends.workshop.graph.encoder import TOKEN_INPUTS
from trivet_backends.workshop.graph.inspect_layers import ATTENTIONS, HIDDEN_STATES
from trivet_backends.workshop.options import GraphOptions

# Tokens of one batch: maps grow with the square of a text's length, and nobody is in a hurry.
MAX_BATCH_TOKENS = 256

_TEXT = Tensor(name="TEXT", type="STRING", dims=(1,))
_TEXT_PAIR = Tensor(name="TEXT_PAIR", type="STRING", dims=(1,))
_SIMILARITY = Tensor(name="SIMILARITY", type="FP32", dims=(1,))
# Of labels given with a request: whole shapes, since they are no rows of a batch.
_ALL_TEXTS = Tensor(name="TEXT", type="STRING", dims=(-1, 1))
_LABELS = Tensor(name="LABEL", type="STRING", dims=(-1,))
_EXAMPLES = (
    Tensor(name="EXAMPLE", type="STRING", dims=(-1,)),
    Tensor(name="EXAMPLE_LABEL", type="STRING", dims=(-1,)),
)
_LABELLED = (
    Tensor(name="LABEL", type="STRING", dims=(-1, -1)),
    Tensor(name="SCORE", type="FP32", dims=(-1, -1)),
    Tensor(name="SIMILARITY", type="FP32", dims=(-1, -1)),
)
_TOKENS = tuple(Tensor(name=name, type="INT64", dims=(-1,)) for name in TOKEN_INPUTS)
_TOLD = (
    *_TOKENS,
    Tensor(name="special_tokens_mask", type="INT64", dims=(-1,)),
    Tensor(name="tokens", type="STRING", dims=(-1,)),
    Tensor(name="offsets", type="INT64", dims=(-1, 2)),
    Tensor(name="word_ids", type="INT64", dims=(-1,)),
)
_ATTENTION = Tensor(name="ATTENTION", type="FP32", dims=(-1, -1, -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """encoder, tokenizer: of the build's own models. pipeline: its name; usual: whether that is
    the task's own, so that the names of further tasks are theirs, too."""

    encoder: str
    tokenizer: str
    pipeline: str
    usual: bool

    @property
    def tokenize(self) -> str:
        return self._task("tokenize")

    @property
    def detokenize(self) -> str:
        return self._task("detokenize")

    @property
    def similarity(self) -> str:
        return self._task("similarity")

    @property
    def similarity_step(self) -> str:
        """Compares two vectors."""
        return f"{self.encoder}_similarity"

    @property
    def zero_shot(self) -> str:
        return self._task("zero_shot")

    @property
    def few_shot(self) -> str:
        return self._task("few_shot")

    @property
    def inspect(self) -> str:
        """The encoder that gives out every layer."""
        return f"{self.encoder}_inspect"

    @property
    def layers(self) -> str:
        """Picks one layer, and pools it."""
        return f"{self.encoder}_layers"

    @property
    def inspect_pipeline(self) -> str:
        return f"{self.pipeline}_inspect"

    def _task(self, task: str) -> str:
        return task if self.usual else f"{self.pipeline}_{task}"


def tokenize_config(names: Names, bert: BertConfig) -> str:
    """A text, or a pair, to all that is known of its tokens."""
    return model_config(
        names.tokenize,
        f"Text, or a pair of texts, to the tokens of {names.encoder}: ids, places, words.",
        "tokenizers",
        inputs=[_TEXT, replace(_TEXT_PAIR, optional=True)],
        outputs=_TOLD,
        parameters={
            "max_tokens": (
                str(bert.max_positions),
                "The positions of the model, [CLS] and [SEP] too.",
            )
        },
    )


def detokenize_config(names: Names) -> str:
    """Token ids to text."""
    return model_config(
        names.detokenize,
        f"Token ids of {names.encoder} to text; the request's keep_special keeps [CLS] and [SEP].",
        "text",
        inputs=[_TOKENS[0]],
        outputs=[_TEXT],
        parameters={"task": ("detokenize", "")},
    )


def similarity_step_config(names: Names, bert: BertConfig) -> str:
    """Two vectors to their cosine."""
    vectors = [
        Tensor(name=name, type="FP32", dims=(bert.hidden_size,))
        for name in ("vector", "vector_pair")
    ]
    about = "Two vectors to their cosine."
    parameters = {"task": ("similarity", "")}
    return model_config(names.similarity_step, about, "text", vectors, [_SIMILARITY], parameters)


def similarity_pipeline_config(names: Names) -> str:
    """A pair of texts to how alike they are; both go through the encoder's one queue."""
    steps: list[Step] = []
    for text, vector in (("TEXT", "vector"), ("TEXT_PAIR", "vector_pair")):
        tokens = {name: f"{text}.{name}" for name in TOKEN_INPUTS}
        steps += [
            Step(model=names.tokenizer, inputs={"TEXT": text}, outputs=tokens),
            Step(model=names.encoder, inputs=tokens, outputs={EMBEDDING: vector}),
        ]
    compare = Step(
        model=names.similarity_step,
        inputs=_same(["vector", "vector_pair"]),
        outputs=_same(["SIMILARITY"]),
    )
    about = f"How alike two texts are by {names.encoder}: a cosine, -1 to 1."
    inputs = [_TEXT, _TEXT_PAIR]
    return pipeline_config(names.similarity, about, inputs, [_SIMILARITY], [*steps, compare])


def zero_shot_config(names: Names) -> str:
    """Texts and labels to scores, by how alike the pipeline's vectors are."""
    about = f"Labels of texts that nobody trained {names.encoder} for, each text's best first."
    return labelling_config(
        names.zero_shot, about, "zero_shot", [_ALL_TEXTS, _LABELS], _LABELLED, _embeds(names)
    )


def few_shot_config(names: Names) -> str:
    """Texts and labelled examples to scores."""
    about = (
        f"Labels of texts by a few examples of each, by {names.encoder}, each text's best first."
    )
    inputs = [_ALL_TEXTS, *_EXAMPLES]
    return labelling_config(names.few_shot, about, "few_shot", inputs, _LABELLED, _embeds(names))


def _embeds(names: Names) -> Step:
    return Step(model=names.pipeline, inputs=_same(["TEXT"]), outputs=_same(["EMBEDDING"]))


def inspect_config(names: Names, bert: BertConfig, *, attentions: bool) -> str:
    """Token ids to the hidden states, and the attention maps, of every layer."""
    pads = (str(bert.pad_token_id), "0", "0")
    tokens = (str(MAX_BATCH_TOKENS), "Rows times the longest row are at most this.")
    return model_config(
        names.inspect,
        f"Token ids to every layer of {names.encoder}, for a look inside; an ONNX graph in fp32.",
        "onnxruntime",
        inputs=_TOKENS,
        outputs=_every_layer(bert, attentions=attentions),
        parameters={
            "max_batch_tokens": tokens,
            **{f"pad.{name}": (pad, "") for name, pad in zip(TOKEN_INPUTS, pads, strict=True)},
        },
    )


def layers_config(
    names: Names, bert: BertConfig, options: GraphOptions, *, attentions: bool
) -> str:
    """Every layer to what a request asks of one."""
    return model_config(
        names.layers,
        "One layer, pooled; the request's layer, pooling, normalize, hidden_state and attention.",
        "text",
        inputs=[*_every_layer(bert, attentions=attentions), _TOKENS[1]],
        outputs=_one_layer(bert, attentions=attentions),
        parameters={
            "task": ("inspect", ""),
            "pooling": (options.pooling, "Where a request says nothing."),
            "normalize": (str(options.normalize).lower(), ""),
        },
    )


def inspect_pipeline_config(names: Names, bert: BertConfig, *, attentions: bool) -> str:
    """Text in, a look inside out."""
    one_layer = _one_layer(bert, attentions=attentions)
    every_layer = [tensor.name for tensor in _every_layer(bert, attentions=attentions)]
    tokens = Tensor(name="TOKEN", type="STRING", dims=(-1,))
    steps = [
        Step(
            model=names.tokenize,
            inputs=_same(["TEXT"]),
            outputs={**_same(TOKEN_INPUTS), "tokens": tokens.name},
        ),
        Step(model=names.inspect, inputs=_same(TOKEN_INPUTS), outputs=_same(every_layer)),
        Step(
            model=names.layers,
            inputs=_same([*every_layer, TOKEN_INPUTS[1]]),
            outputs=_same(tensor.name for tensor in one_layer),
        ),
    ]
    about = f"A sentence to any layer of {names.encoder}, pooled as asked."
    outputs = [*one_layer, tokens]
    return pipeline_config(names.inspect_pipeline, about, [_TEXT], outputs, steps)


def _every_layer(bert: BertConfig, *, attentions: bool) -> list[Tensor]:
    states = (bert.layers + 1, -1, bert.hidden_size)
    found = [Tensor(name=HIDDEN_STATES, type="FP32", dims=states)]
    if attentions:
        maps = (bert.layers, bert.heads, -1, -1)
        found.append(Tensor(name=ATTENTIONS, type="FP32", dims=maps))
    return found


def _one_layer(bert: BertConfig, *, attentions: bool) -> list[Tensor]:
    return [
        Tensor(name="EMBEDDING", type="FP32", dims=(bert.hidden_size,)),
        Tensor(name="HIDDEN_STATE", type="FP32", dims=(-1, bert.hidden_size)),
        *([_ATTENTION] if attentions else []),
    ]


def _same(names: Iterable[str]) -> dict[str, str]:
    return {name: name for name in names}
