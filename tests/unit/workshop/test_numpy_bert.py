"""The reference is right by itself: against the C library, against definitions, and in itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.unit.workshop.checkpoints import TINY, Recipe, random_weights
from trivet_backends.workshop.activations import ACTIVATE, erf
from trivet_backends.workshop.bert_config import Activation
from trivet_backends.workshop.numpy_bert import NumpyBert
from trivet_backends.workshop.options import Pooling


@pytest.fixture(scope="module")
def bert() -> NumpyBert:
    return NumpyBert(TINY, random_weights(Recipe()))


def ids(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(5, TINY.vocab_size, shape)


def test_erf_is_that_of_the_c_library() -> None:
    x = np.concatenate([np.linspace(-7, 7, 20_001), [0.46875, -0.46875, 0.0, 1e-300, 40.0]])
    np.testing.assert_allclose(erf(x), [math.erf(value) for value in x], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("activation", "at_one"),
    [
        (Activation.GELU, 0.8413447460685429),
        (Activation.GELU_TANH, 0.8411919906082768),
        (Activation.SILU, 0.7310585786300049),
        (Activation.RELU, 1.0),
        (Activation.TANH, 0.7615941559557649),
    ],
)
def test_activations_have_their_published_values(activation: Activation, at_one: float) -> None:
    assert ACTIVATE[activation](np.array([1.0]))[0] == pytest.approx(at_one, abs=1e-12)


def test_a_masked_token_is_as_good_as_not_there(bert: NumpyBert) -> None:
    tokens, mask, types = ids(1, 9), np.ones((1, 9), np.int64), np.zeros((1, 9), np.int64)
    mask[0, 6:] = 0
    padded = bert.hidden_states(tokens, mask, types)[:, :6]
    alone = bert.hidden_states(tokens[:, :6], mask[:, :6], types[:, :6])
    np.testing.assert_allclose(padded, alone, atol=1e-6)
    mask[0, 2] = 0
    before = bert.hidden_states(tokens, mask, types)[0, mask[0] == 1]
    tokens[0, 2] = 7
    after = bert.hidden_states(tokens, mask, types)[0, mask[0] == 1]
    np.testing.assert_array_equal(before, after)


def test_segments_and_places_count(bert: NumpyBert) -> None:
    tokens, mask, types = ids(1, 5), np.ones((1, 5), np.int64), np.zeros((1, 5), np.int64)
    plain = bert.embedding(tokens, mask, types)
    assert np.abs(bert.embedding(tokens, mask, types + 1) - plain).max() > 1e-3
    assert np.abs(bert.embedding(tokens[:, ::-1], mask, types) - plain).max() > 1e-3


@pytest.mark.parametrize("pooling", Pooling)
def test_pooling_reads_the_attended_tokens_only(bert: NumpyBert, pooling: Pooling) -> None:
    tokens, mask, types = ids(3, 6), np.ones((3, 6), np.int64), np.zeros((3, 6), np.int64)
    mask[0, :2], mask[1] = 0, 0
    hidden = bert.hidden_states(tokens, mask, types)
    pooled = bert.embedding(tokens, mask, types, pooling=pooling, normalize=False)
    expected = {
        Pooling.MEAN: hidden[0, 2:].mean(axis=0),
        Pooling.CLS: hidden[0, 2],
        Pooling.MAX: hidden[0, 2:].max(axis=0),
    }
    np.testing.assert_allclose(pooled[0], expected[pooling], atol=1e-6)
    assert not pooled[1].any()
    unit = bert.embedding(tokens, mask, types, pooling=pooling)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [1, 0, 1], atol=1e-6)


def test_probabilities_are_of_the_whole_vocabulary(bert: NumpyBert) -> None:
    tokens, mask, types = ids(2, 6), np.ones((2, 6), np.int64), np.zeros((2, 6), np.int64)
    chances = bert.mask_probabilities(tokens, mask, types, np.array([[1, 4], [5, -1]]))
    assert chances.shape == (2, 2, TINY.vocab_size)
    np.testing.assert_allclose(chances.sum(axis=-1), 1, atol=1e-6)
