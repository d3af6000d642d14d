"""The likeliest answer among the tokens of a passage. Pure."""

from __future__ import annotations

import numpy as np

_LONGEST_ANSWER = 30  # tokens, as SQuAD's own baseline has it


def best_span(logits: np.ndarray, passage: np.ndarray) -> tuple[float, int, int]:
    """(score, first token, last token): how much likelier than no answer the best span is.

    logits: float32 [tokens, 2], of begin and end; those of the first token are no answer's.
    passage: int [n], the tokens that may be an answer's. Without any the score is minus infinity.
    """
    if not len(passage):
        return (-np.inf, 0, 0)
    sums = logits[passage, 0][:, None] + logits[passage, 1][None, :]
    apart = passage[None, :] - passage[:, None]
    sums = np.where((apart >= 0) & (apart < _LONGEST_ANSWER), sums, -np.inf)
    first, last = np.unravel_index(sums.argmax(), sums.shape)
    score = float(sums[first, last] - logits[0].sum())
    return (score, int(passage[first]), int(passage[last]))
