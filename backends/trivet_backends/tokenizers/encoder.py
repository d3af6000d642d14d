"""Texts to token ids: encoded together, cut to the model's length, refused one by one."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trivet.errors import InvalidInput, ServeError
from trivet_backends.tokenizers.fitting import Fit, LongText, truncated, windows

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
    pair: str | None = None  # the second text of a pair
    place: str = ""
    row: int = 0  # of the request
    fit: Fit
    is_cut: bool = False  # something behind `content`, or behind `pair`, was left out unread


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text's tokens, or one pair's, special ones included; or those of one window over them."""

    text: Text
    ids: list[int]
    type_ids: list[int]
    truncated: bool
    encoding: tokenizers.Encoding  # the library's own, before truncation
    kept: Sequence[int]  # which of the encoding's tokens these are
    first: int = 0  # the number of the first token of the text that the window slides over


class Encoder:
    """A tokenizer whose settings are never touched again, so that any thread may use it."""

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, limits: Limits, *, places: bool = False
    ) -> None:
        """tokenizer: without padding and truncation.

        places: whether tokens, offsets and words are asked of encodings; else that is left out.
        """
        # With them a text of 22 tokens takes 1.4 to 1.6 times as long (2026-11-23, busy machine).
        self._encode = tokenizer.encode_batch if places else tokenizer.encode_batch_fast
        self._limits = limits
        self._first_look_characters = _FIRST_LOOK_CHARACTERS * limits.max_tokens

    def read(
        self, content: bytes, place: str, fit: Fit, *, row: int = 0, pair: bytes | None = None
    ) -> Text:
        """Decode a text, or a pair.

        Raises InvalidInput if it is not UTF-8, or has more than max_text_bytes; where it is to be
        truncated, what lies behind them is not read.
        """
        text = self._read(content, place, fit, row)
        if pair is None:
            return text
        second = self._read(pair, f"{place}second text: ", fit, row)
        return replace(text, pair=second.content, is_cut=text.is_cut or second.is_cut)

    def _read(self, content: bytes, place: str, fit: Fit, row: int) -> Text:
        limit = self._limits.max_text_bytes
        is_whole = len(content) <= limit
        if not (is_whole or fit.long_text is LongText.TRUNCATE):
            raise InvalidInput(
                f"{place}the text has {len(content)} bytes and at most {limit} are read; "
                "send truncate=true, or send it in parts"
            )
        try:
            if is_whole:
                return Text(content=content.decode(), place=place, row=row, fit=fit)
            # The limit may lie within a character; not being final, this leaves its pieces out.
            head = codecs.getincrementaldecoder("utf-8")().decode(content[:limit], final=False)
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{place}the text is not UTF-8: byte {error.start} is "
                f"0x{content[error.start]:02x}, {error.reason}; send UTF-8"
            ) from error
        end = head.rfind(" ")  # leaves the last word out: it may be half a word
        beginning = head[:end] if end > 0 else head
        return Text(content=beginning, place=place, row=row, fit=fit, is_cut=True)

    def encode(self, texts: Sequence[Text]) -> list[list[Tokens] | ServeError]:
        """Tokens of each text, in order; a text at fault gets a ServeError in its place.

        One row of them, or one for each window that slides over the text.

        All go to the engine in one call, which releases the GIL.
        """
        looks = [self._first_look(text) for text in texts]
        encodings = self._encodings(looks)
        short = [
            i
            for i, (text, look) in enumerate(zip(texts, looks, strict=True))
            if look is not text and len(encodings[i]) <= text.fit.most
        ]
        for i, encoding in zip(short, self._encodings([texts[i] for i in short]), strict=True):
            encodings[i] = encoding
        return [self._fitted(*pair) for pair in zip(texts, encodings, strict=True)]

    def _first_look(self, text: Text) -> Text:
        """The beginning of a long text to be truncated; any other, and any pair, as it is."""
        most = self._first_look_characters
        truncates = text.fit.long_text is LongText.TRUNCATE
        if not truncates or text.pair is not None or len(text.content) <= most:
            return text
        end = text.content.rfind(" ", 0, most)
        return replace(text, content=text.content[:end]) if end > 0 else text

    def _encodings(self, texts: Sequence[Text]) -> list[tokenizers.Encoding]:
        if not texts:
            return []
        return self._encode([t.content if t.pair is None else (t.content, t.pair) for t in texts])

    def _fitted(self, text: Text, encoding: tokenizers.Encoding) -> list[Tokens] | ServeError:
        count, fit = len(encoding), text.fit
        try:
            _check_words(text, encoding)
            if fit.long_text is LongText.WINDOW:
                return _windowed(text, encoding)
            if count <= fit.most:
                ids, type_ids = encoding.ids, encoding.type_ids
                return [Tokens(text, ids, type_ids, text.is_cut, encoding, range(count))]
            if fit.long_text is LongText.REFUSE:
                raise _too_long(text, count)
            kept = truncated(encoding.sequence_ids, fit, text.place)
        except InvalidInput as error:
            return error
        ids, type_ids = encoding.ids, encoding.type_ids
        chosen = [ids[i] for i in kept], [type_ids[i] for i in kept]
        return [Tokens(text, *chosen, True, encoding, kept)]


def _windowed(text: Text, encoding: tokenizers.Encoding) -> list[Tokens]:
    """A row for each window over the text. Raises InvalidInput if a window has no room."""
    ids, type_ids = encoding.ids, encoding.type_ids  # once: each makes a list of the whole text
    return [
        Tokens(
            text,
            [ids[i] for i in kept],
            [type_ids[i] for i in kept],
            text.is_cut,
            encoding,
            kept,
            first,
        )
        for first, kept in windows(encoding.sequence_ids, text.fit, text.place)
    ]


def _too_long(text: Text, count: int) -> InvalidInput:
    what = "the text has" if text.pair is None else "the two texts have"
    ways = "long_text=truncate or window" if text.fit.can_slide else "truncate=true"
    return InvalidInput(
        f"{text.place}{what} {count} tokens and the model takes at most {text.fit.most}; "
        f"send {ways}, or send it in parts"
    )


def _check_words(text: Text, encoding: tokenizers.Encoding) -> None:
    """Raises InvalidInput for a text, or a pair, in which there is nothing to be read."""
    found = set(encoding.sequence_ids)
    for part, content in enumerate((text.content, text.pair)):
        if content is None or part in found:
            continue
        which = "the text" if text.pair is None else ("the first text", "the second text")[part]
        what = "has nothing but white space" if content else "is empty"
        what += " in the part that is read" if text.is_cut else ""
        raise InvalidInput(f"{text.place}{which} {what}; send at least one word")
