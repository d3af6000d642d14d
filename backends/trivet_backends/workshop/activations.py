"""Activations in numpy, exact to float64, for the reference BERT."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from trivet_backends.workshop.bert_config import Activation

Float64 = NDArray[np.float64]

# Coefficients of erf below 0.46875 and of exp(x^2) erfc(x) above, from the highest power down.
_ERF_SMALL = (
    (
        1.85777706184603153e-1,
        3.16112374387056560,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (
        1.0,
        2.36012909523441209e1,
        2.44024637934444173e2,
        1.28261652607737228e3,
        2.84423683343917062e3,
    ),
)
_ERFC_MIDDLE = (
    (
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594,
        6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0,
        1.57449261107098347e1,
        1.17693950891312499e2,
        5.37181101862009858e2,
        1.62138957456669019e3,
        3.29079923573345963e3,
        4.36261909014324716e3,
        3.43936767414372164e3,
        1.23033935480374942e3,
    ),
)


def erf(x: Float64) -> Float64:
    """The error function in float64, to 1e-15; numpy has none.

    Source: W. J. Cody 1969, "Rational Chebyshev approximation for the error function".
    """
    size: Float64 = np.abs(x)
    small: Float64 = x * _rational(_ERF_SMALL, np.square(np.minimum(size, 0.5)))
    middle = np.clip(size, 0.46875, 6.0)  # at 6 the error function is 1 in float64
    large = 1 - np.exp(-np.square(middle)) * _rational(_ERFC_MIDDLE, middle)
    return np.where(size <= 0.46875, small, np.copysign(large, x))


def _rational(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Float64) -> Float64:
    """A quotient of two polynomials in x, coefficients from the highest power down."""
    above, below = coefficients
    result: Float64 = np.polyval(above, x) / np.polyval(below, x)
    return result


def _gelu(x: Float64) -> Float64:
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def _gelu_tanh(x: Float64) -> Float64:
    gelu: Float64 = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return gelu


def _silu(x: Float64) -> Float64:
    silu: Float64 = x / (1 + np.exp(-x))
    return silu


def _relu(x: Float64) -> Float64:
    relu: Float64 = np.maximum(x, 0)
    return relu


def _tanh(x: Float64) -> Float64:
    tanh: Float64 = np.tanh(x)
    return tanh


ACTIVATE: Mapping[Activation, Callable[[Float64], Float64]] = {
    Activation.GELU: _gelu,
    Activation.GELU_TANH: _gelu_tanh,
    Activation.RELU: _relu,
    Activation.SILU: _silu,
    Activation.TANH: _tanh,
}
