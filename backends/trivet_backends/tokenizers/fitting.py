"""What becomes of a text that is longer than the model's positions: which of its tokens stay.

A row of tokens is told by `parts`: of each token 0 or 1, which text of a pair it is of, or None for
a special token, which stays whatever happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from trivet.errors import InvalidInput
from trivet.request import Parameters

Parts = Sequence[int | None]

DEFAULT_STRIDE = 128  # tokens, as in SQuAD's usual evaluation


class LongText(StrEnum):
    """What to do with a long text."""

    REFUSE = "refuse"
    TRUNCATE = "truncate"
    WINDOW = "window"  # slide a window over it: a row for each


class Truncation(StrEnum):
    """Which text of a pair is cut. A window slides over the second where there is one."""

    LONGEST_FIRST = "longest_first"
    ONLY_SECOND = "only_second"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How texts are to be fitted.

    most: tokens of a row, special ones included.
    stride: tokens that neighbouring windows share; None: DEFAULT_STRIDE, or half of what a window
    holds of the text if that is less. max_windows: of one text.
    can_slide: whether something behind puts windows together again.
    """

    long_text: LongText = LongText.REFUSE
    truncation: Truncation = Truncation.LONGEST_FIRST
    most: int
    stride: int | None = None
    max_windows: int = 64
    can_slide: bool = False


def fit_asked(parameters: Parameters, usual: Fit) -> Fit:
    """What a request asks for by its parameters `truncate`, `long_text`, `window` and `stride`.

    usual: where it says nothing; its `most` is what the model takes.
    Raises InvalidInput: an unknown or contradictory wish, a window that no model or text fits.
    """
    if not _ASKED.intersection(parameters):
        return usual
    fit = replace(
        usual,
        long_text=_long_text(parameters, usual.long_text),
        most=_whole(parameters, "window", 1, usual.most) or usual.most,
        stride=_whole(parameters, "stride", 0, usual.most),
    )
    if fit.long_text is LongText.WINDOW and not fit.can_slide:
        raise InvalidInput(
            "parameter 'long_text' is 'window', but nothing puts the windows of this model together"
            " again; send 'refuse' or 'truncate', or send the text in parts"
        )
    if fit.stride is not None and fit.long_text is not LongText.WINDOW:
        raise InvalidInput(
            f"parameter 'stride' is {fit.stride}, but long texts are not to be seen through a"
            " window; send long_text='window' with it, or leave it out"
        )
    return fit


_ASKED = frozenset({"truncate", "long_text", "window", "stride"})


def truncated(parts: Parts, fit: Fit, place: str) -> list[int]:
    """Which tokens stay of a row longer than fit.most.

    place: begins the text of the InvalidInput that is raised if nothing would be left of the text
    that is to be cut.
    """
    if 1 in parts and fit.truncation is Truncation.LONGEST_FIRST:
        return _longest_first(parts, fit.most)
    begin, size, room = _slid(parts, fit, place)
    return [*range(begin + room), *range(begin + size, len(parts))]


def windows(parts: Parts, fit: Fit, place: str) -> list[tuple[int, list[int]]]:
    """Each window over a row: the number of the first token it holds of its text, and which tokens
    it has. One if all fits.

    Source: `stride` and `return_overflowing_tokens` of Hugging Face's tokenizers.
    Raises InvalidInput, its text begun with `place`, if a window has no room beside the other text
    or none for anything new.
    """
    begin, size, room = _slid(parts, fit, place)
    stride = min(DEFAULT_STRIDE, room // 2) if fit.stride is None else fit.stride
    if stride >= room:
        raise InvalidInput(
            f"{place}neighbouring windows are to share {stride} tokens (stride), but a window of"
            f" {fit.most} holds {room} of the text beside {len(parts) - size} others; send a stride"
            f" of at most {room - 1}"
        )
    last = max(0, size - room)  # where the last window may begin at the earliest
    starts = range(0, last + room - stride, room - stride) if last else range(1)
    if len(starts) > fit.max_windows:
        raise InvalidInput(
            f"{place}the text makes {len(starts)} windows and at most {fit.max_windows} are"
            " computed; send it in parts, or with a smaller stride"
        )
    before, behind = range(begin), range(begin + size, len(parts))
    return [
        (start, [*before, *range(begin + start, begin + min(start + room, size)), *behind])
        for start in starts
    ]


def _slid(parts: Parts, fit: Fit, place: str) -> tuple[int, int, int]:
    """Where the text begins that is cut, or slid over; its tokens; how many of them a row holds."""
    part = 1 if 1 in parts else 0
    size = parts.count(part)
    others = len(parts) - size
    if others >= fit.most and part:
        raise InvalidInput(
            f"{place}the first text and the special tokens are {others} tokens, which leaves no"
            f" room for the second in the {fit.most} that a row may have; shorten the first text by"
            f" at least {others - fit.most + 1} tokens"
        )
    if others >= fit.most:
        raise InvalidInput(
            f"{place}a row of {fit.most} tokens (window) has no room for the text beside {others}"
            " special ones; send a larger window"
        )
    return parts.index(part), size, fit.most - others


def _longest_first(parts: Parts, most: int) -> list[int]:
    """Which tokens of a pair stay: the longer text loses its end until all fit, or both are equal.

    Source: `truncation="longest_first"` of Hugging Face's tokenizers.
    """
    sizes = (parts.count(0), parts.count(1))
    room = most - parts.count(None)
    short = min(*sizes, room // 2)
    left = [short, room - short] if sizes[0] <= sizes[1] else [room - short, short]
    kept = []
    for place, part in enumerate(parts):
        if part is None:
            kept.append(place)
        elif left[part] > 0:
            left[part] -= 1
            kept.append(place)
    return kept


def _long_text(parameters: Parameters, usual: LongText) -> LongText:
    truncate = parameters.get("truncate", False)
    if not isinstance(truncate, bool):
        raise InvalidInput(f"parameter 'truncate' is {truncate!r}; send true or false")
    asked = parameters.get("long_text")
    if asked is None:
        return LongText.TRUNCATE if truncate else usual
    if asked not in list(LongText):
        known = ", ".join(LongText)
        raise InvalidInput(f"parameter 'long_text' is {asked!r}; send one of {known}")
    if truncate and asked != LongText.TRUNCATE:
        raise InvalidInput(
            f"parameters 'truncate' and 'long_text' ({asked!r}) contradict each other; send one"
        )
    return LongText(str(asked))


def _whole(parameters: Parameters, name: str, least: int, most: int) -> int | None:
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise InvalidInput(f"parameter '{name}' is {value!r}; send {least} to {most} tokens")
