"""The keyword arguments of calls that take one text or several: the types of both forms.

Such a call answers one text with one value and several with a collection, as its two overloads
say. They name the keywords that both take by a class of this module. The method below them spells
the keywords out, with defaults, for `help()`; mypy and a test hold the two against one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from trivet_client.head_values import Aggregation, LongText
from trivet_client.vector_values import FewShotMethod, Pooling


class TaskOptions(TypedDict, total=False):
    """Of every task: which model, and seconds the call may take."""

    model: str
    version: int | None
    timeout_s: float | None


class TextOptions(TaskOptions, total=False):
    """Of tasks whose texts fit the model, or are cut or refused."""

    truncate: bool


class EmbedOptions(TextOptions, total=False):
    pooling: Pooling | None
    normalize: bool | None
    layer: int | None


class InspectOptions(EmbedOptions, total=False):
    hidden_state: bool
    attention: bool


class FillMaskOptions(TextOptions, total=False):
    top_k: int
    targets: Sequence[str] | None


class ClassifyOptions(TextOptions, total=False):
    top_k: int


class TagTokensOptions(TaskOptions, total=False):
    aggregation: Aggregation | None
    long_text: LongText | None
    stride: int | None


class AnswerOptions(TaskOptions, total=False):
    top_k: int
    max_answer_tokens: int
    no_answer_threshold: float | None
    long_text: LongText | None
    stride: int | None
    window: int


class ZeroShotOptions(TextOptions, total=False):
    template: str
    multi_label: bool
    temperature: float


class FewShotOptions(TextOptions, total=False):
    method: FewShotMethod
    neighbors: int
    temperature: float
