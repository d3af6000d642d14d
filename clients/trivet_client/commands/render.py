"""Answers for the eye and for programs."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator

import numpy as np

from trivet_client.commands.render_heads import head_lines
from trivet_client.values import InferResult
from trivet_protos.wire import datatype_of

BAR_WIDTH = 24  # characters of a probability of 1
_EIGHTHS = " ▏▎▍▌▋▊▉"


def as_json(result: InferResult, text: str | None) -> str:
    """One line of JSON. What JSON has no number for (NaN, infinity) becomes null."""
    document = {
        "model": result.model,
        "version": result.version,
        **({} if text is None else {"text": text}),
        **({"parameters": dict(result.parameters)} if result.parameters else {}),
        "outputs": {name: _json_values(array) for name, array in result.outputs.items()},
    }
    return json.dumps(document, ensure_ascii=False)


def as_text(result: InferResult, text: str | None) -> str:
    """Some lines: the text asked or the model's name, then its outputs; 80 columns are enough."""
    width = shutil.get_terminal_size((80, 24)).columns
    version = "" if result.version is None else f", version {result.version}"
    title = f"{result.model}{version}" if text is None else text
    return "\n".join([_cut(title, width), *_outputs(result, width)])


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """A share from 0 to 1 as a bar of block characters, to an eighth of a character."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _outputs(result: InferResult, width: int) -> Iterator[str]:
    outputs = result.outputs
    tokens, shares = outputs.get("TOKEN"), outputs.get("PROBABILITY")
    if tokens is not None and shares is not None and tokens.shape == shares.shape and tokens.ndim:
        yield from _candidates(tokens, shares)
        return
    if (lines := head_lines(outputs)) is not None:
        yield from (_cut(line, width).rstrip() for line in lines)
        return
    for name, array in outputs.items():
        heading = f"  {name}  {datatype_of(array)} {list(array.shape)}"
        yield _cut(f"{heading}  {_preview(array, width - len(heading) - 2)}", width)


def _candidates(tokens: np.ndarray, shares: np.ndarray) -> Iterator[str]:
    """Candidates of each mask; the last dimension of both arrays runs over them."""
    rows = zip(
        tokens.reshape(-1, tokens.shape[-1]), shares.reshape(-1, shares.shape[-1]), strict=True
    )
    for number, (row_tokens, row_shares) in enumerate(rows, 1):
        words = [_word(token) for token in row_tokens]
        longest = max(map(len, words), default=0)
        for rank, (word, share) in enumerate(zip(words, row_shares, strict=True)):
            mask = f"mask {number}" if rank == 0 else ""
            yield f"  {mask:8}{word:{longest}}  {share:6.1%}  {bar(float(share))}".rstrip()


def _preview(array: np.ndarray, width: int) -> str:
    """As many elements as fit, in one line."""
    shown = ""
    for index, element in enumerate(array.ravel()):
        word = _short(element)
        if len(shown) + len(word) + 3 > width:
            return shown + ("…" if index < array.size else "")
        shown += word + " "
    return shown.rstrip()


def _short(element: object) -> str:
    match element:
        case bytes() | str():
            return json.dumps(_word(element), ensure_ascii=False)
        case float() | np.floating():
            return f"{element:.4g}"
        case _:
            return str(element)


def _word(element: object) -> str:
    return element.decode(errors="replace") if isinstance(element, bytes) else str(element)


def _json_values(array: np.ndarray) -> object:
    values = np.empty(array.size, object)
    values[:] = [_json_value(element) for element in array.ravel()]
    return values.reshape(array.shape).tolist()


def _json_value(element: object) -> object:
    match element:
        case bytes() | str():
            return _word(element)
        case np.bool_() | np.integer():
            return element.item()
        case _:
            number = float(str(element))  # by way of its digits: FP32 0.1 stays 0.1
            return number if math.isfinite(number) else None


def _cut(line: str, width: int) -> str:
    line = " ".join(line.splitlines())
    return line if len(line) <= width else line[: width - 1] + "…"
