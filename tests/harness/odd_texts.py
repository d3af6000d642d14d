"""Odd texts, the same in each run: accents, CJK, emoji, control characters, very long words."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence

_WORDS = (
    "the of and tokenization unbelievable Café naïve résumé Ångström Straße İstanbul ǅungla ﬁnance "
    "don't e-mail U.S.A. 3.14 1,000,000 C++ #hashtag @name http://x.y/z?q=1 [MASK] [UNK] ##ing "
    "東京都 中国 日本語 한국어 ภาษาไทย العربية עברית हिन्दी ελληνικά русский "
    "Tiếng_Việt 🙂 👩‍👩‍👧 🇫🇷 ﷽ ½ ² ™"
).split()
_SPACES = " \t\n\r\u00a0\u2003\u200b\u3000\ufeff\u2028\x0b\x0c\x85"
_CONTROLS = "\x00\x01\x07\x1b\x7f\x9f\u200d\u200e\u202e\ufffd\ue000"
_MARKS = "\u0300\u0301\u0308\u0327\u0323\u20dd\ufe0f"
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»–—…、。「」・٪؟।৳€£¥©®°"
_EMOJI = 0x1F300
_RANGES = (
    (0x20, 0x7E),
    (0xA0, 0x24F),
    (0x370, 0x52F),
    (0x590, 0x6FF),
    (0x900, 0xDFF),
    (0x1E00, 0x1FFF),
    (0x2000, 0x2BFF),
    (0x3000, 0x30FF),
    (0x3400, 0x34FF),
    (0x4E00, 0x4EFF),
    (0xAC00, 0xACFF),
    (0xF900, 0xF9FF),
    (0xFB00, 0xFB4F),
    (0xFF00, 0xFFEF),
    (0x1D400, 0x1D4FF),
    (_EMOJI, 0x1F320),
    (0x20000, 0x2007F),
)


def odd_texts(count: int, seed: int = 20) -> list[str]:
    """So many texts of 1 to some 300 characters; every kind is among them."""
    rng = random.Random(seed)
    return [_KINDS[number % len(_KINDS)](rng) for number in range(count)]


def _sentence(rng: random.Random) -> str:
    words = rng.choices(_WORDS, k=rng.randint(1, 12))
    return "".join(word + rng.choice(_SPACES) * rng.randint(0, 2) for word in words)


def _any_characters(rng: random.Random) -> str:
    return "".join(_character(rng) for _ in range(rng.randint(1, 40)))


def _accents(rng: random.Random) -> str:
    """Letters with marks, composed or not."""
    letters = rng.choices("aAcCeEiInNoOsSuUzZåøßœ", k=rng.randint(1, 25))
    text = "".join(one + "".join(rng.choices(_MARKS, k=rng.randint(0, 3))) for one in letters)
    return unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKC", "NFKD"]), text)


def _long_word(rng: random.Random) -> str:
    """Around the 100 characters from which on WordPiece gives a word up."""
    length = rng.choice([98, 99, 100, 101, 102, 250])
    word = "".join(rng.choices(rng.choice(["ab", "xyzé", "0123", "東a", "aa"]), k=length))
    return f"{rng.choice(_WORDS)} {word} {rng.choice(_WORDS)}"


def _controls(rng: random.Random) -> str:
    parts = rng.choices([*_WORDS, *_CONTROLS, *_SPACES], k=rng.randint(2, 20))
    return "".join(parts)


def _punctuation(rng: random.Random) -> str:
    parts = rng.choices([*_PUNCTUATION, *_WORDS], k=rng.randint(1, 20))
    return "".join(parts)


def _character(rng: random.Random) -> str:
    while True:
        first, last = rng.choice(_RANGES)
        one = chr(rng.randint(first, last))
        # Libraries differ in the Unicode they know: only what has been there for long.
        if unicodedata.ucd_3_2_0.category(one) not in ("Cn", "Cs") or first == _EMOJI:
            return one


_KINDS: Sequence[Callable[[random.Random], str]] = (
    _sentence,
    _any_characters,
    _accents,
    _long_word,
    _controls,
    _punctuation,
)
