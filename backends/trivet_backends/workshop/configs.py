"""What each model of a build offers: the configs of tokenizer, encoder, candidates and pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.config_text import Step, Tensor, model_config, pipeline_config
from trivet_backends.workshop.graph.embed import EMBEDDING, LAST_HIDDEN_STATE
from trivet_backends.workshop.graph.encoder import TOKEN_INPUTS
from trivet_backends.workshop.graph.fill_mask import (
    MASK_POSITIONS,
    PROBABILITIES,
    TARGET_IDS,
    TARGET_PROBABILITIES,
    TOKEN_IDS,
)
from trivet_backends.workshop.head_configs import (
    HEAD_TENSORS,
    encoder_outputs,
    head_pipeline_config,
    last_step_config,
    tokenizer_inputs,
    tokenizer_parameters,
)
from trivet_backends.workshop.heads import HEADS, Labels
from trivet_backends.workshop.options import Format, GraphOptions, Precision, Task
from trivet_backends.workshop.tensorrt import on_gpu

# Tokens of one batch, padding included. On two cores 64 callers were served best with 64 to 256,
# all within 5 %; 256 is best where one instance has all cores.
MAX_BATCH_TOKENS = 256
# An engine bound by arithmetic loses more by padding than it gains by company.
MAX_PADDING_PERCENT = 25

_TEXT = Tensor(name="TEXT", type="STRING", dims=(1,))
_TOKENS = tuple(Tensor(name=name, type="INT64", dims=(-1,)) for name in TOKEN_INPUTS)
_MASKS = Tensor(name=MASK_POSITIONS, type="INT64", dims=(-1,))
# The words that a request names as the only candidates, on their way from the caller to the answer.
_TARGET = Tensor(name="TARGET", type="STRING", dims=(-1,), optional=True)
_TARGET_IDS = Tensor(name=TARGET_IDS, type="INT64", dims=(-1,))
_TARGET_PROBABILITIES = Tensor(name=TARGET_PROBABILITIES, type="FP32", dims=(-1, -1))
_CANDIDATES = (
    Tensor(name="TOKEN", type="STRING", dims=(-1, -1)),
    Tensor(name="TOKEN_ID", type="INT64", dims=(-1, -1)),
    Tensor(name="PROBABILITY", type="FP32", dims=(-1, -1)),
    Tensor(name="MASK_POSITION", type="INT64", dims=(-1,)),
)
_KINDS = {
    Format.ONNX: "an ONNX graph",
    Format.OPENVINO: "an OpenVINO model",
    Format.TENSORRT: "a TensorRT engine",
}
_PAD = "What an input is filled up with where rows of a batch differ in length."


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The model names of one build."""

    encoder: str
    pipeline: str

    @property
    def tokenizer(self) -> str:
        """Turns text into token ids."""
        return f"{self.encoder}_tokenizer"

    @property
    def candidates(self) -> str:
        """Turns candidates into words; fill-mask only."""
        return f"{self.encoder}_candidates"

    @property
    def labels(self) -> str:
        """Turns a trained head's numbers into labels, spans or answers."""
        return f"{self.encoder}_labels"


def tokenizer_config(
    names: Names, bert: BertConfig, task: Task, format_: Format = Format.ONNX
) -> str:
    """Text to token ids; for fill-mask also where the masks are, for a head what it has to know."""
    is_head = task in HEADS
    return model_config(
        names.tokenizer,
        f"Text to token ids of {names.encoder}.",
        "tokenizers",
        inputs=tokenizer_inputs(task) if is_head else _texts(task, format_.backend),
        outputs=[
            *_model_inputs(task, format_.backend),
            *(HEAD_TENSORS[task].told if is_head else ()),
        ],
        parameters={
            "max_tokens": (
                str(bert.max_positions),
                "The positions of the model, [CLS] and [SEP] too.",
            ),
            **(tokenizer_parameters(task, bert) if is_head else {}),
        },
    )


def encoder_config(
    name: str,
    bert: BertConfig,
    options: GraphOptions,
    precision: Precision,
    format_: Format = Format.ONNX,
    labels: Labels | None = None,
) -> str:
    """Token ids to an embedding, to candidates for each mask, or to a head's numbers.

    labels: of a head that has any.
    """
    kind = _KINDS[format_]
    about = f"{_ABOUT[options.task]}; {kind} in {precision}."
    pads = {
        f"pad.{tensor.name}": (str(value), _PAD if tensor.name == "input_ids" else "")
        for tensor, value in zip(
            _model_inputs(options.task, format_.backend),
            (bert.pad_token_id, 0, 0, -1, -1),
            strict=False,
        )
    }
    tokens = (
        str(MAX_BATCH_TOKENS),
        "Length-aware batches: rows times the longest row are at most this.",
    )
    padding = (
        str(MAX_PADDING_PERCENT),
        "No more of a batch's tokens may be padding: few requests of odd lengths go alone.",
    )
    text = model_config(
        name,
        about,
        format_.backend,
        inputs=[
            replace(tensor, optional=tensor is _TARGET_IDS and format_ is Format.ONNX)
            for tensor in _model_inputs(options.task, format_.backend)
        ],
        outputs=_model_outputs(bert, options, labels, format_.backend),
        parameters={"max_batch_tokens": tokens, "max_padding_percent": padding, **pads},
    )
    return on_gpu(text, bert.max_positions) if format_ is Format.TENSORRT else text


def candidates_config(names: Names, options: GraphOptions, format_: Format = Format.ONNX) -> str:
    """Candidates' ids to words; how many is the request's parameter top_k."""
    return model_config(
        names.candidates,
        f"The words of {names.encoder}'s candidates; the request's top_k says how many, else 5.",
        "text",
        inputs=[
            *_candidate_outputs(options, format_.backend),
            _MASKS,
            *([_TARGET_IDS] if _has_targets(options.task, format_.backend) else []),
        ],
        outputs=_CANDIDATES,
        parameters={"task": (options.task, "")},
    )


def labels_config(names: Names, task: Task, labels: Labels | None) -> str:
    """A head's numbers to labels, spans or answers."""
    return last_step_config(names.labels, names.encoder, task, labels)


def build_pipeline_config(
    names: Names,
    bert: BertConfig,
    options: GraphOptions,
    labels: Labels | None = None,
    format_: Format = Format.ONNX,
) -> str:
    """Text in, answers out. labels: of a head that has any."""
    if options.task in HEADS:
        members = (names.tokenizer, names.encoder, names.labels)
        return head_pipeline_config(names.pipeline, *members, options.task, labels)
    tokens = [tensor.name for tensor in _model_inputs(options.task, format_.backend)]
    texts = _texts(options.task, format_.backend)
    tokenize = Step(
        model=names.tokenizer,
        inputs=_same(tensor.name for tensor in texts),
        outputs=_same(tokens),
    )
    if options.task is Task.EMBED:
        about = f"A sentence to its embedding by {names.encoder}."
        outputs = [Tensor(name="EMBEDDING", type="FP32", dims=(bert.hidden_size,))]
        encode = Step(model=names.encoder, inputs=_same(tokens), outputs={EMBEDDING: "EMBEDDING"})
        return pipeline_config(names.pipeline, about, [_TEXT], outputs, [tokenize, encode])
    about = (
        f"The likeliest words behind every mask by {names.encoder}; the request's top_k, else 5."
    )
    found = [tensor.name for tensor in _candidate_outputs(options, format_.backend)]
    targets = [TARGET_IDS] if _has_targets(options.task, format_.backend) else []
    encode = Step(model=names.encoder, inputs=_same(tokens), outputs=_same(found))
    answer = Step(
        model=names.candidates,
        inputs=_same([*found, MASK_POSITIONS, *targets]),
        outputs=_same(tensor.name for tensor in _CANDIDATES),
    )
    return pipeline_config(names.pipeline, about, texts, _CANDIDATES, [tokenize, encode, answer])


_ABOUT = {
    Task.EMBED: "Token ids to one vector per row",
    Task.FILL_MASK: "Token ids and mask positions to candidates",
    Task.CLASSIFY: "Token ids to one number for each label",
    Task.TAG_TOKENS: "Token ids to a number for each label of each token",
    Task.ANSWER: "Token ids to two numbers for each token: an answer begins, and ends, there",
    Task.NEXT_SENTENCE: "Token ids of a pair to the probability that the second text follows",
}


def _has_targets(task: Task, backend: str) -> bool:
    """Whether candidates can be restricted. The tokenizer always tells target_ids, [-1] for none,
    so that an engine that knows no optional inputs, as OpenVINO, needs none."""
    return task is Task.FILL_MASK and backend != Format.TENSORRT.backend


def _texts(task: Task, backend: str) -> list[Tensor]:
    return [_TEXT, _TARGET] if _has_targets(task, backend) else [_TEXT]


def _model_inputs(task: Task, backend: str) -> list[Tensor]:
    if task is not Task.FILL_MASK:
        return [*_TOKENS]
    return [*_TOKENS, _MASKS, *([_TARGET_IDS] if _has_targets(task, backend) else [])]


def _model_outputs(
    bert: BertConfig, options: GraphOptions, labels: Labels | None, backend: str
) -> list[Tensor]:
    if options.task in HEADS:
        return encoder_outputs(options.task, labels)
    if options.task is Task.FILL_MASK:
        return _candidate_outputs(options, backend)
    outputs = [Tensor(name=EMBEDDING, type="FP32", dims=(bert.hidden_size,))]
    if options.hidden_state:
        dims = (-1, bert.hidden_size)
        outputs.append(Tensor(name=LAST_HIDDEN_STATE, type="FP32", dims=dims))
    return outputs


def _candidate_outputs(options: GraphOptions, backend: str) -> list[Tensor]:
    dims = (-1, options.candidates)
    return [
        Tensor(name=TOKEN_IDS, type="INT64", dims=dims),
        Tensor(name=PROBABILITIES, type="FP32", dims=dims),
        *([_TARGET_PROBABILITIES] if _has_targets(options.task, backend) else []),
    ]


def _same(names: Iterable[str]) -> dict[str, str]:
    return {name: name for name in names}
