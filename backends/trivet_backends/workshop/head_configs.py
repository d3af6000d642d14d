"""The configs of the tasks with a trained head: what their tokenizer, encoder, last step and
pipeline offer beside what every build has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.config_text import Step, Tensor, model_config, pipeline_config
from trivet_backends.workshop.graph.encoder import TOKEN_INPUTS
from trivet_backends.workshop.graph.heads import END_LOGITS, LOGITS, PROBABILITIES, START_LOGITS
from trivet_backends.workshop.heads import Labels
from trivet_backends.workshop.options import Task

# Bytes of a text that a window may slide over, for each of the model's positions: prose has 4 to 5
# characters a token, so that is room for a hundred windows and more than the rows of a batch.
_BYTES_PER_POSITION = 512

_TEXT = Tensor(name="TEXT", type="STRING", dims=(1,))
_PAIR = Tensor(name="TEXT_PAIR", type="STRING", dims=(1,))
_QUESTION = Tensor(name="QUESTION", type="STRING", dims=(1,))
_PASSAGE = Tensor(name="PASSAGE", type="STRING", dims=(1,))

_OFFSETS = Tensor(name="offsets", type="INT64", dims=(-1, 2))
_WORDS = Tensor(name="word_ids", type="INT64", dims=(-1,))
_SEQUENCES = Tensor(name="sequence_ids", type="INT64", dims=(-1,))
_WINDOW = Tensor(name="window", type="INT64", dims=(2,))
_TEXTS = Tensor(name="texts", type="STRING", dims=(1,))

_SPAN = (
    Tensor(name="START", type="INT64", dims=(-1,)),
    Tensor(name="END", type="INT64", dims=(-1,)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadTensors:
    """What a task adds to the tokens, and gives.

    asked: the pipeline's inputs -> the tokenizer's names for them. told: what the tokenizer says of
    tokens, for the last step. answers: the last step's outputs, or the encoder's where there is no
    last step.
    """

    about: str
    asked: Mapping[Tensor, str]
    told: Sequence[Tensor] = ()
    answers: Sequence[Tensor]


HEAD_TENSORS: Mapping[Task, HeadTensors] = {
    Task.CLASSIFY: HeadTensors(
        about="The labels of a text, or of a pair, best first",
        asked={_TEXT: "TEXT", replace(_PAIR, optional=True): "TEXT_PAIR"},
        answers=(
            Tensor(name="LABEL", type="STRING", dims=(-1,)),
            Tensor(name="SCORE", type="FP32", dims=(-1,)),
        ),
    ),
    Task.TAG_TOKENS: HeadTensors(
        about="The labelled spans of a text",
        asked={_TEXT: "TEXT"},
        told=(_OFFSETS, _WORDS, _WINDOW, _TEXTS),
        answers=(
            Tensor(name="LABEL", type="STRING", dims=(-1,)),
            Tensor(name="SCORE", type="FP32", dims=(-1,)),
            *_SPAN,
            Tensor(name="SPAN", type="STRING", dims=(-1,)),
        ),
    ),
    Task.ANSWER: HeadTensors(
        about="The answers to a question that a passage holds, best first",
        asked={_QUESTION: "TEXT", _PASSAGE: "TEXT_PAIR"},
        told=(_OFFSETS, _WORDS, _SEQUENCES, _WINDOW, _TEXTS),
        answers=(
            Tensor(name="ANSWER", type="STRING", dims=(-1,)),
            Tensor(name="PROBABILITY", type="FP32", dims=(-1,)),
            *_SPAN,
            Tensor(name="NO_ANSWER", type="FP32", dims=(1,)),
        ),
    ),
    Task.NEXT_SENTENCE: HeadTensors(
        about="How likely a second text follows on a first, and does not",
        asked={_TEXT: "TEXT", _PAIR: "TEXT_PAIR"},
        answers=(Tensor(name="PROBABILITY", type="FP32", dims=(2,)),),
    ),
}


def tokenizer_inputs(task: Task) -> list[Tensor]:
    """What the tokenizer of a task takes."""
    asked = HEAD_TENSORS[task].asked
    return [
        Tensor(name=name, type="STRING", dims=(1,), optional=tensor.optional)
        for tensor, name in asked.items()
    ]


def tokenizer_parameters(task: Task, bert: BertConfig) -> dict[str, tuple[str, str]]:
    """What its tokenizer's config says of long texts."""
    if _WINDOW not in HEAD_TENSORS[task].told:
        return {}
    most = str(bert.max_positions * _BYTES_PER_POSITION)
    found = {"max_text_bytes": (most, "Bytes of a text that are read at most, in all its windows.")}
    if task is Task.ANSWER:
        why = "What becomes of a long passage: refuse, truncate or window; the request may say."
        found["long_text"] = ("window", why)
        found["truncation"] = ("only_second", "The question is never cut.")
    return found


def encoder_outputs(task: Task, labels: Labels | None) -> list[Tensor]:
    """What the graph of a task gives."""
    count = len(labels.names) if labels else 0
    match task:
        case Task.CLASSIFY:
            return [Tensor(name=LOGITS, type="FP32", dims=(count,))]
        case Task.TAG_TOKENS:
            return [Tensor(name=LOGITS, type="FP32", dims=(-1, count))]
        case Task.ANSWER:
            return [
                Tensor(name=name, type="FP32", dims=(-1,)) for name in (START_LOGITS, END_LOGITS)
            ]
        case _:
            return [Tensor(name=PROBABILITIES, type="FP32", dims=(2,))]


def has_last_step(task: Task) -> bool:
    """Whether something follows the encoder."""
    return task is not Task.NEXT_SENTENCE


def last_step_config(name: str, encoder: str, task: Task, labels: Labels | None) -> str:
    """From the encoder's numbers to labels, spans or answers."""
    tensors = HEAD_TENSORS[task]
    parameters = {"task": (str(task), "")}
    if task is Task.CLASSIFY and labels:
        why = "How logits become scores: softmax (one label a text), sigmoid (any number) or none."
        parameters["scoring"] = (str(labels.scoring), why)
    if task is Task.TAG_TOKENS:
        why = (
            "How word pieces become spans: none, simple, first, max, average; the request may say."
        )
        parameters["aggregation"] = ("first", why)
    return model_config(
        name,
        f"{tensors.about}, from the numbers of {encoder}.",
        "text",
        inputs=[*encoder_outputs(task, labels), *tensors.told],
        outputs=tensors.answers,
        parameters=parameters,
    )


def head_pipeline_config(
    name: str, tokenizer: str, encoder: str, last: str, task: Task, labels: Labels | None
) -> str:
    """Text in, answers out."""
    tensors = HEAD_TENSORS[task]
    tokens, told = [*TOKEN_INPUTS], [tensor.name for tensor in tensors.told]
    asked = {inside: tensor.name for tensor, inside in tensors.asked.items()}
    numbers = [tensor.name for tensor in encoder_outputs(task, labels)]
    answers = [tensor.name for tensor in tensors.answers]
    given = numbers if has_last_step(task) else answers
    steps = [
        Step(model=tokenizer, inputs=asked, outputs=_same([*tokens, *told])),
        Step(model=encoder, inputs=_same(tokens), outputs=dict(zip(numbers, given, strict=True))),
    ]
    if has_last_step(task):
        steps.append(Step(model=last, inputs=_same([*numbers, *told]), outputs=_same(answers)))
    about = f"{tensors.about}, by {encoder}."
    return pipeline_config(name, about, list(tensors.asked), tensors.answers, steps)


def _same(names: Iterable[str]) -> dict[str, str]:
    return {name: name for name in names}
