"""Texts whose numbers of tokens follow a distribution. Pure: the same seed, the same texts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trivet_client.errors import invalid

# Each is one token of BERT's uncased vocabulary, so n words make n + 2 tokens there. Other
# vocabularies may split them; the tokens reported are those that the server counted.
WORDS = (
    "the old house on the hill was sold to a young family from the north last week and they want "
    "to paint every room in a light color before the winter comes with its cold wind and long "
    "nights while the children play in the garden near the river under tall trees full of birds"
).split()

MASK = "[MASK]"
SHORTEST, LONGEST = 3, 512  # tokens: [CLS], one word, [SEP]; BERT's positions
_Z_95 = 1.6449  # the standard normal's 95th percentile

SPELLINGS = "lognormal:MEDIAN:P95, uniform:LOW:HIGH or fixed:N, in tokens"


class Lengths(Protocol):
    """How long texts are, in tokens with [CLS] and [SEP]."""

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """int64 [count], each at least SHORTEST and at most LONGEST."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """All of one length."""

    tokens: int

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.full(count, self.tokens, np.int64)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every length from low to high is as likely as any other."""

    low: int
    high: int  # included

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.integers(self.low, self.high, count, np.int64, endpoint=True)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Many short, few long: what services see. Cut to what a model can take."""

    median: int
    p95: int

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        sigma = math.log(self.p95 / self.median) / _Z_95
        drawn = rng.lognormal(math.log(self.median), sigma, count)
        return np.clip(drawn, SHORTEST, LONGEST).astype(np.int64)


def lengths(spelled: str) -> Lengths:
    """Read a distribution as the command line spells it. Raises InvalidArgument."""
    kind, *numbers = spelled.split(":")
    try:
        values = [int(number) for number in numbers]
    except ValueError:
        values = []
    if not all(SHORTEST <= value <= LONGEST for value in values):
        raise invalid(f"--lengths {spelled}: a length is {SHORTEST} to {LONGEST} tokens")
    match kind, values:
        case "fixed", [tokens]:
            return Fixed(tokens)
        case "uniform", [low, high] if low <= high:
            return Uniform(low, high)
        case "lognormal", [median, p95] if median < p95:
            return LogNormal(median, p95)
    raise invalid(f"--lengths {spelled} is none of {SPELLINGS}")


def texts(chosen: Lengths, count: int, seed: int, *, masked: bool) -> list[str]:
    """Texts of random words. masked: the middle word of each is [MASK]."""
    rng = np.random.default_rng(seed)
    return [_text(int(tokens), rng, masked) for tokens in chosen.draw(rng, count)]


def _text(tokens: int, rng: np.random.Generator, masked: bool) -> str:
    words = [str(word) for word in rng.choice(WORDS, tokens - 2)]
    if masked:
        words[len(words) // 2] = MASK
    return " ".join(words)
