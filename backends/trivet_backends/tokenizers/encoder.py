"""Texts to token ids: encoded together, cut to the model's length, refused one by one."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

from trivet.errors import InvalidInput, ServeError

if TYPE_CHECKING:
    import tokenizers

T = TypeVar("T")

# A text to be truncated is first read this far. English prose has 4 to 5 characters a token, so
# that is enough nearly always, and a long document costs 2 ms instead of 14.
_FIRST_LOOK_CHARACTERS = 16  # per token of max_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a text may be."""

    max_tokens: int  # positions of the model, special tokens included
    max_text_bytes: int  # of UTF-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text to encode. place: how messages name it, e.g. "row 3: ", or nothing."""

    content: str
    pair: str | None = None  # the second text of a pair
    place: str = ""
    truncate: bool = False
    is_cut: bool = False  # something behind `content`, or behind `pair`, was left out unread


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text's tokens, or one pair's, special ones included."""

    ids: list[int]
    type_ids: list[int]
    truncated: bool
    encoding: tokenizers.Encoding  # the library's own, before truncation
    kept: Sequence[int]  # which of the encoding's tokens these are

    def chosen(self, values: Sequence[T]) -> list[T]:
        """Of one value for each of the encoding's tokens, those of the tokens kept."""
        return [values[i] for i in self.kept]


class Encoder:
    """A tokenizer whose settings are never touched again, so that any thread may use it."""

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, limits: Limits, *, places: bool = False
    ) -> None:
        """tokenizer: without padding and truncation.

        places: whether tokens, offsets and words are asked of encodings; else that is left out.
        """
        # A text of 21 tokens takes 25 us without and 29 us with them.
        self._encode = tokenizer.encode_batch if places else tokenizer.encode_batch_fast
        self._limits = limits
        self._first_look_characters = _FIRST_LOOK_CHARACTERS * limits.max_tokens
        self._closing = _closing_specials(tokenizer)

    def read(
        self, content: bytes, place: str, *, truncate: bool, pair: bytes | None = None
    ) -> Text:
        """Decode a text, or a pair.

        Raises InvalidInput if it is not UTF-8, or has more than max_text_bytes; with `truncate`,
        what lies behind them is not read.
        """
        text = self._read(content, place, truncate=truncate)
        if pair is None:
            return text
        second = self._read(pair, f"{place}second text: ", truncate=truncate)
        return replace(text, pair=second.content, is_cut=text.is_cut or second.is_cut)

    def _read(self, content: bytes, place: str, *, truncate: bool) -> Text:
        limit = self._limits.max_text_bytes
        is_whole = len(content) <= limit
        if not (is_whole or truncate):
            raise InvalidInput(
                f"{place}the text has {len(content)} bytes and at most {limit} are read; "
                "send truncate=true, or send it in parts"
            )
        try:
            if is_whole:
                return Text(content=content.decode(), place=place, truncate=truncate)
            # The limit may lie within a character; not being final, this leaves its pieces out.
            head = codecs.getincrementaldecoder("utf-8")().decode(content[:limit], final=False)
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{place}the text is not UTF-8: byte {error.start} is "
                f"0x{content[error.start]:02x}, {error.reason}; send UTF-8"
            ) from error
        end = head.rfind(" ")  # leaves the last word out: it may be half a word
        beginning = head[:end] if end > 0 else head
        return Text(content=beginning, place=place, truncate=True, is_cut=True)

    def encode(self, texts: Sequence[Text]) -> list[Tokens | ServeError]:
        """Tokens of each text, in order; a text at fault gets a ServeError in its place.

        All go to the engine in one call, which releases the GIL.
        """
        looks = [self._first_look(text) for text in texts]
        encodings = self._encodings(looks)
        short = [
            i
            for i, (text, look) in enumerate(zip(texts, looks, strict=True))
            if look is not text and len(encodings[i]) <= self._limits.max_tokens
        ]
        for i, encoding in zip(short, self._encodings([texts[i] for i in short]), strict=True):
            encodings[i] = encoding
        return [self._fitted(*pair) for pair in zip(texts, encodings, strict=True)]

    def _first_look(self, text: Text) -> Text:
        """The beginning of a long text to be truncated; any other, and any pair, as it is."""
        most = self._first_look_characters
        if not text.truncate or text.pair is not None or len(text.content) <= most:
            return text
        end = text.content.rfind(" ", 0, most)
        return replace(text, content=text.content[:end]) if end > 0 else text

    def _encodings(self, texts: Sequence[Text]) -> list[tokenizers.Encoding]:
        if not texts:
            return []
        return self._encode([t.content if t.pair is None else (t.content, t.pair) for t in texts])

    def _fitted(self, text: Text, encoding: tokenizers.Encoding) -> Tokens | ServeError:
        count, most = len(encoding), self._limits.max_tokens
        if fault := _without_a_word(text, encoding):
            return fault
        if count <= most:
            return Tokens(encoding.ids, encoding.type_ids, text.is_cut, encoding, range(count))
        if not text.truncate:
            what = "the text has" if text.pair is None else "the two texts have"
            return InvalidInput(
                f"{text.place}{what} {count} tokens and the model takes at most {most}; "
                "send truncate=true, or send it in parts"
            )
        if text.pair is None:
            kept = [*range(most - self._closing), *range(count - self._closing, count)]
        else:
            kept = _longest_first(encoding.sequence_ids, most)
        ids, type_ids = encoding.ids, encoding.type_ids
        return Tokens([ids[i] for i in kept], [type_ids[i] for i in kept], True, encoding, kept)


def _without_a_word(text: Text, encoding: tokenizers.Encoding) -> InvalidInput | None:
    """The refusal of a text, or of a pair, in which there is nothing to be read."""
    found = set(encoding.sequence_ids)
    for part, content in enumerate((text.content, text.pair)):
        if content is None or part in found:
            continue
        which = "the text" if text.pair is None else ("the first text", "the second text")[part]
        what = "has nothing but white space" if content else "is empty"
        what += " in the part that is read" if text.is_cut else ""
        return InvalidInput(f"{text.place}{which} {what}; send at least one word")
    return None


def _longest_first(parts: Sequence[int | None], most: int) -> list[int]:
    """Which tokens of a pair stay: the longer text loses its end until all fit, or both are equal.

    parts: of each token 0 or 1, which text it is of; None for a special token, which stays.
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


def _closing_specials(tokenizer: tokenizers.Tokenizer) -> int:
    """How many special tokens end every text: 1 for BERT's [SEP]."""
    is_special = tokenizer.encode("a").special_tokens_mask
    return sum(1 for _ in takewhile(bool, reversed(is_special)))
