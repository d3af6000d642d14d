"""A request for labels, from tensors and parameters to values; ranked labels to tensors. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trivet.errors import InvalidInput
from trivet.request import InferRequest, Parameters, Tensors
from trivet.scheduling.labelling.asked import FewShot, Method, ZeroShot
from trivet.scheduling.labelling.scores import Scored


def zero_shot_of(request: InferRequest) -> ZeroShot:
    """LABEL [labels]; parameters `template`, `multi_label`, `temperature`. Raises InvalidInput."""
    who, parameters = f"model '{request.model}'", request.parameters
    return ZeroShot(
        labels=strings(request, "LABEL"),
        template=_word(parameters, "template"),
        multi_label=flag(parameters, "multi_label"),
        temperature=_number(parameters, "temperature"),
        who=who,
        field="LABEL",
    )


def few_shot_of(request: InferRequest) -> FewShot:
    """EXAMPLE [examples], EXAMPLE_LABEL [examples]; parameters `method`, `neighbors`,
    `temperature`. Raises InvalidInput.
    """
    who, parameters = f"model '{request.model}'", request.parameters
    texts, labels = strings(request, "EXAMPLE"), strings(request, "EXAMPLE_LABEL")
    if len(texts) != len(labels):
        raise InvalidInput(
            f"{who}: EXAMPLE has {len(texts)} entries and EXAMPLE_LABEL {len(labels)}; send a label"
            " for each example"
        )
    return FewShot(
        texts=texts,
        labels=labels,
        method=_method(parameters),
        neighbors=_count(parameters, "neighbors"),
        temperature=_number(parameters, "temperature"),
        who=who,
        field="EXAMPLE",
        text_at="EXAMPLE[{}]",
        label_at="EXAMPLE_LABEL[{}]",
    )


def strings(request: InferRequest, name: str) -> list[str]:
    """The elements of an input of BYTES, in order. Raises InvalidInput for one that is no text."""
    texts = []
    for place, element in enumerate(request.inputs[name].ravel().tolist()):
        try:
            texts.append(element.decode())
        except UnicodeDecodeError:
            raise InvalidInput(
                f"model '{request.model}': {name}[{place}] is not UTF-8; send text in UTF-8"
            ) from None
    return texts


def texts_of(request: InferRequest) -> list[str]:
    """TEXT [texts, 1]. Raises InvalidInput for none."""
    texts = strings(request, "TEXT")
    if not texts:
        raise InvalidInput(f"model '{request.model}': TEXT is empty; send at least one text")
    return texts


def answer_of(ranked: Sequence[Sequence[Scored]]) -> Tensors:
    """LABEL, SCORE and SIMILARITY [texts, labels], each text's best label first."""
    labels = np.array([[one.label.encode() for one in text] for text in ranked], dtype=object)
    return {
        "LABEL": labels,
        "SCORE": np.array([[one.score for one in text] for text in ranked], np.float32),
        "SIMILARITY": np.array([[one.similarity for one in text] for text in ranked], np.float32),
    }


def flag(parameters: Parameters, name: str) -> bool:
    """A parameter that is true or false. Raises InvalidInput."""
    value = parameters.get(name, False)
    if isinstance(value, bool):
        return value
    raise InvalidInput(f"parameter '{name}' is {value!r}; send true or false")


def _word(parameters: Parameters, name: str) -> str:
    value = parameters.get(name, "")
    if isinstance(value, str):
        return value
    raise InvalidInput(f"parameter '{name}' is {value!r}; send a string")


def _number(parameters: Parameters, name: str) -> float:
    value = parameters.get(name, 0)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise InvalidInput(f"parameter '{name}' is {value!r}; send a number")


def _count(parameters: Parameters, name: str) -> int:
    value = parameters.get(name, 0)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise InvalidInput(f"parameter '{name}' is {value!r}; send a whole number of 0 or more")


def _method(parameters: Parameters) -> Method:
    asked = _word(parameters, "method") or Method.NEAREST_CENTROID
    try:
        return Method(asked)
    except ValueError:
        known = " or ".join(Method)
        raise InvalidInput(f"parameter 'method' is {asked!r}; send {known}") from None
