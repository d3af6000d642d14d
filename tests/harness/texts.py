"""Texts whose number of tokens is known, in the mix that services see."""

from __future__ import annotations

import math

import numpy as np

# Each is one token of the bert-base-uncased vocabulary, so n words make n + 2 tokens.
WORDS = (
    "the old house on the hill was sold to a young family from the north last week and they want "
    "to paint every room in a light color before the winter comes with its cold wind and long "
    "nights while the children play in the garden near the river under tall trees full of birds"
).split()

MEDIAN_TOKENS, P95_TOKENS = 24, 110
SIGMA = math.log(P95_TOKENS / MEDIAN_TOKENS) / 1.645


def text_of(tokens: int, seed: int = 0) -> str:
    """A text of exactly so many tokens, [CLS] and [SEP] included; at least 3."""
    rng = np.random.default_rng(seed)
    return " ".join(rng.choice(WORDS, tokens - 2))


def mixed_lengths(count: int, seed: int = 0) -> list[int]:
    """Log-normal numbers of tokens: median 24, p95 110, between 3 and 512."""
    rng = np.random.default_rng(seed)
    drawn = rng.lognormal(math.log(MEDIAN_TOKENS), SIGMA, count)
    return [int(tokens) for tokens in np.clip(drawn, 3, 512)]


def mixed_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of `mixed_lengths`."""
    return [text_of(tokens, number) for number, tokens in enumerate(mixed_lengths(count, seed))]
