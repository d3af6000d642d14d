"""Texts to token ids: encoded together, cut to the model's length, refused one by one."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from trivet.errors import InvalidInput, ServeError

if TYPE_CHECKING:
    import tokenizers

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
    place: str = ""
    truncate: bool = False
    is_cut: bool = False  # something behind `content` was left out unread


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text's tokens, special ones included."""

    ids: list[int]
    type_ids: list[int]
    truncated: bool


class Encoder:
    """A tokenizer whose settings are never touched again, so that any thread may use it."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, limits: Limits) -> None:
        """tokenizer: without padding and truncation."""
        self._tokenizer = tokenizer
        self._limits = limits
        self._first_look_characters = _FIRST_LOOK_CHARACTERS * limits.max_tokens
        self._specials = tokenizer.num_special_tokens_to_add(False)
        self._closing = _closing_specials(tokenizer)

    def read(self, content: bytes, place: str, *, truncate: bool) -> Text:
        """Decode a text.

        Raises InvalidInput if it is not UTF-8, or has more than max_text_bytes; with `truncate`,
        what lies behind them is not read.
        """
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
        """The beginning of a long text to be truncated; any other as it is."""
        most = self._first_look_characters
        if not text.truncate or len(text.content) <= most:
            return text
        end = text.content.rfind(" ", 0, most)
        return replace(text, content=text.content[:end]) if end > 0 else text

    def _encodings(self, texts: Sequence[Text]) -> list[tokenizers.Encoding]:
        return self._tokenizer.encode_batch_fast([text.content for text in texts]) if texts else []

    def _fitted(self, text: Text, encoding: tokenizers.Encoding) -> Tokens | ServeError:
        count, most = len(encoding), self._limits.max_tokens
        if count == self._specials:
            what = "has nothing but white space" if text.content else "is empty"
            what += " in the part that is read" if text.is_cut else ""
            return InvalidInput(f"{text.place}the text {what}; send at least one word")
        if count <= most:
            return Tokens(encoding.ids, encoding.type_ids, text.is_cut)
        if not text.truncate:
            return InvalidInput(
                f"{text.place}the text has {count} tokens and the model takes at most {most}; "
                "send truncate=true, or send it in parts"
            )
        kept = [*range(most - self._closing), *range(count - self._closing, count)]
        ids, type_ids = encoding.ids, encoding.type_ids
        return Tokens([ids[i] for i in kept], [type_ids[i] for i in kept], truncated=True)


def _closing_specials(tokenizer: tokenizers.Tokenizer) -> int:
    """How many special tokens end every text: 1 for BERT's [SEP]."""
    is_special = tokenizer.encode("a").special_tokens_mask
    return sum(1 for _ in takewhile(bool, reversed(is_special)))
