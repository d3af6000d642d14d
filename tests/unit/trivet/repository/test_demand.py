"""Which models are to be loaded, as clients load and unload them."""

from __future__ import annotations

import pytest

from trivet.repository.demand import Demand

BROUGHT = {
    "a": {"a"},
    "b": {"b"},
    "pipe": {"pipe", "a", "b"},
    "other": {"other", "b"},
}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("+a", "a"),
        ("+a -a", ""),
        ("-a", ""),
        ("+pipe", "pipe a b"),
        ("+pipe -pipe", "a b"),  # what came along stays
        ("+pipe =pipe", ""),  # with unload_dependents it goes
        ("+a +pipe =pipe", "a"),  # what was asked for by name stays
        ("+pipe +a =pipe", "a"),
        ("+pipe +other =pipe", "other b"),  # what another pipeline brought, too
        ("+pipe +other =pipe =other", ""),
        ("+pipe -pipe =pipe", "a b"),
        ("+pipe -a", "pipe b"),  # then the pipeline waits
        ("+pipe -a +a =pipe", "a"),
        ("+pipe -a +pipe =pipe", ""),
    ],
)
def test_what_is_to_be_loaded(words: str, names: str) -> None:
    """+name loads, -name unloads, =name unloads with dependents."""
    demand = Demand()
    for word in words.split():
        name = word[1:]
        if word[0] == "+":
            demand.add(name, BROUGHT[name])
        else:
            demand.remove(name, dependents=word[0] == "=")
    assert demand.names == set(names.split())
