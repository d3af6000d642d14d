"""Warming up a decoupled instance: the first answer to each request, and no more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from trivet.backend.contract import Answer, Batch, DecoupledInstance, Rows, Sender
from trivet.backend.first_answers import to_warm_up
from trivet.config import ModelConfig
from trivet.errors import EngineFailed, ServeError

BATCH = Batch([Rows({"X": np.zeros(1)}), Rows({"X": np.ones(1)})], lambda: 0)


class Endless:
    """Never stops of itself; fails at its third answer."""

    def __init__(self, *, asks: bool) -> None:
        self.computed = 0
        self.closed = False
        self._asks = asks

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        raise AssertionError("a decoupled instance is asked to stream")

    def stream(self, request: Rows, answers: Sender) -> None:
        while not (self._asks and answers.is_cancelled()):
            self.computed += 1
            if self.computed == 5:
                raise EngineFailed("too many")
            answers.send(Answer({}))

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("asks", "computed"), [(True, 2), (False, 4)])
def test_one_answer_to_each_request_is_enough(asks: bool, computed: int) -> None:
    instance = Endless(asks=asks)
    assert isinstance(instance, DecoupledInstance)
    warmed = to_warm_up(instance, ModelConfig(name="m", decoupled=True))
    assert warmed.execute(BATCH) == []
    assert instance.computed == computed  # who does not ask is told when it sends the second
    warmed.close()
    assert instance.closed


def test_what_the_instance_raises_is_raised() -> None:
    instance = Endless(asks=True)
    instance.computed = 4
    with pytest.raises(EngineFailed, match="too many"):
        to_warm_up(instance, ModelConfig(name="m", decoupled=True)).execute(BATCH)


def test_where_the_model_is_not_decoupled_the_instance_executes() -> None:
    instance = Endless(asks=True)
    assert to_warm_up(instance, ModelConfig(name="m")) is instance
