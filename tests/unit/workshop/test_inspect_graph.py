"""The graph for a look inside, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.workshop.checkpoints import TINY, Recipe, random_weights
from tests.unit.workshop.test_graph import ALIKE, awkward_batch, session
from trivet_backends.workshop.graph.inspect_layers import inspect_graph
from trivet_backends.workshop.inspection import NumpyInspect


def test_every_layer_and_every_map_is_that_of_numpy() -> None:
    weights, batch = random_weights(Recipe()), awkward_batch(TINY)
    runner = session(inspect_graph(TINY, weights, attentions=True))
    states, maps = runner.run(["hidden_states", "attentions"], batch)
    expected = NumpyInspect(TINY, weights).layers(**batch)
    assert states.shape == expected.states.shape == (7, TINY.layers + 1, 12, TINY.hidden_size)
    assert maps.shape == expected.maps.shape == (7, TINY.layers, TINY.heads, 12, 12)
    tokens = batch["attention_mask"] == 1
    np.testing.assert_allclose(
        states.swapaxes(1, 2)[tokens], expected.states.swapaxes(1, 2)[tokens], atol=ALIKE
    )
    looking = maps.transpose(0, 3, 1, 2, 4)[tokens]
    np.testing.assert_allclose(looking, expected.maps.transpose(0, 3, 1, 2, 4)[tokens], atol=ALIKE)
    np.testing.assert_allclose(looking.sum(axis=-1), 1, atol=1e-5)


def test_maps_are_left_out_where_they_are_not_wanted() -> None:
    runner = session(inspect_graph(TINY, random_weights(Recipe()), attentions=False))
    assert [output.name for output in runner.get_outputs()] == ["hidden_states"]


@pytest.mark.parametrize("layer", range(TINY.layers + 1))
def test_the_last_state_is_what_the_reference_calls_hidden(layer: int) -> None:
    weights, batch = random_weights(Recipe()), awkward_batch(TINY)
    reference = NumpyInspect(TINY, weights)
    states = reference.layers(**batch).states
    if layer == TINY.layers:
        np.testing.assert_array_equal(states[:, layer], reference.hidden_states(**batch))
    else:
        assert np.abs(states[:, layer] - states[:, layer + 1]).max() > 0.01
