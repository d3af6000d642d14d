"""Rounding a matrix to 8 bits so that its products change little, not its numbers.

Each weight's rounding error is passed on to the weights of the same output that are not rounded
yet, as far as their inputs go together: GPTQ (Frantar et al. 2022, arXiv:2210.17323), with the
scales and zero points as they are. Only the moments of the inputs are needed, from some texts.
"""

from __future__ import annotations

import numpy as np

from trivet_backends.workshop.tensor_files import Float32

_HIGHEST = 255
_DAMPING = 0.01  # of the mean moment: what the texts did not show is not taken for impossible
_BLOCK = 64  # columns whose errors are passed on one by one; to the others at once


def compensated(
    weights: Float32, moments: np.ndarray, zero: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """uint8 [out, in] for weights float32 [out, in].

    moments: [in, in], the sum of x x^T over inputs x. zero, scale: [out, 1] or [1, 1].
    """
    left = weights.astype(np.float32)
    centre, step = zero.astype(np.float32), scale.astype(np.float32)
    levels = np.empty(left.shape, np.uint8)
    factor = _factor(moments)
    for begin in range(0, left.shape[1], _BLOCK):
        end = min(begin + _BLOCK, left.shape[1])
        errors = np.empty((left.shape[0], end - begin), np.float32)
        for column in range(begin, end):
            here = left[:, column : column + 1]
            level = np.clip(np.rint(here / step + centre), 0, _HIGHEST)
            levels[:, column] = level[:, 0]
            error = (here - (level - centre) * step) / factor[column, column]
            left[:, column:end] -= error * factor[column, column:end]
            errors[:, column - begin] = error[:, 0]
        left[:, end:] -= errors @ factor[begin:end, end:]
    return levels


def _factor(moments: np.ndarray) -> Float32:
    """Upper triangular float32 [in, in] whose U^T U is the inverse of the damped moments."""
    size = len(moments)
    damped = moments.astype(np.float64)
    damped[np.diag_indices(size)] += _DAMPING * max(float(np.trace(moments)) / size, 1e-12)
    return np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
