"""What the tasks without a trained head answer: values, complete and unchanging."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Literal

import numpy as np

from trivet_client.values import Cost

# How the vectors of a text's tokens become one; the server documents each at `Pooling`.
Pooling = Literal["mean", "cls", "max"]
# How a text is compared with examples; the server documents each at `FewShotMethod`.
FewShotMethod = Literal["nearest_centroid", "nearest_neighbors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarTexts:
    """How alike two texts are: a cosine, -1 to 1. cost: of both texts."""

    similarity: float
    cost: Cost
    model: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Similarities:
    """How alike several pairs are, in the order asked: float32 [pairs]."""

    similarities: np.ndarray
    costs: tuple[Cost, ...]
    model: str
    version: int

    def __len__(self) -> int:
        return len(self.costs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredLabel:
    """A label of a text: score from 0 to 1, made of the similarity, a cosine."""

    label: str
    score: float
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledText:
    """The labels of one text, the best first.

    compared_cost: of the labels or examples that were embedded for this text; None where the server
    had the vectors of all at hand.
    """

    labels: tuple[ScoredLabel, ...]
    cost: Cost
    compared_cost: Cost | None
    model: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token of a text; text[start:end] is what it stands for.

    word: which word of its text, from 0; None for a special token. type_id: 1 in the second text of
    a pair.
    """

    id: int
    text: str
    start: int
    end: int
    word: int | None
    special: bool
    type_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedText:
    """The tokens of one text or pair, as a model sees them."""

    tokens: tuple[Token, ...]
    cost: Cost
    model: str
    version: int

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(token.id for token in self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetokenizedText:
    """The text of a list of tokens."""

    text: str
    cost: Cost
    model: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InspectedText:
    """One layer's view of a text.

    vector: float32 [width], the layer pooled. tokens: as the vocabulary spells them; hidden_state:
    float32 [tokens, width]; attention: float32 [heads, tokens, tokens], how much each token looks
    at each: rows sum up to 1. What was not asked for is empty or None.
    """

    vector: np.ndarray
    tokens: tuple[str, ...]
    hidden_state: np.ndarray | None
    attention: np.ndarray | None
    cost: Cost
    model: str
    version: int

    def plot(self, path: str | PathLike[str], *, head: int | None = None, title: str = "") -> None:
        """Draw the attention map as a picture; its name ends in .png or .svg. See `plot`."""
        from trivet_client.plot import plot_attention

        plot_attention(self, path, head=head, title=title)
