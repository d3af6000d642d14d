"""The owner's part: which tokenizers there are, and what was tokenized by them in front."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

from trivet.frontend.ahead.offer import LATEST, Offer, Route, Withdrawn
from trivet.frontend.ahead.sidecar import Form, Told, number_of
from trivet.frontend.ahead.tokenizing import Tokenizing
from trivet.frontend.method import Accompanied
from trivet.model.model import Model
from trivet.repository.registry import Registry
from trivet.request import InferResponse, Known, Parameters, Stages, Tensors
from trivet.scheduling.pipeline import in_order

log = logging.getLogger("trivet.frontend")

Tell = Callable[[bytes], None]

_MOST_SAID = 512 << 10  # bytes at once; the config of a tokenizer takes 2 KB


class Ahead:
    """What came beside a message; see `request.Known`."""

    __slots__ = ("_form", "_model", "_told")

    def __init__(self, model: Model, form: Form, told: Told) -> None:
        self._model, self._form, self._told = model, form, told

    def answer(
        self, model: object, inputs: Tensors, parameters: Parameters
    ) -> InferResponse | None:
        """Only of the very load that the front end asked, and as it asked; any other computes it
        anew.
        """
        mine, told = self._model, self._told
        if model is not mine or parameters != told.asked:
            return None
        found = told.answers.get(self._form.key(inputs))
        if found is None:
            return None
        began_ns, input_ns, infer_ns, output_ns = told.times
        stages = Stages(began_ns, 0, input_ns, infer_ns, output_ns)
        name, version = mine.config.name, mine.version
        return InferResponse(name, version, found.outputs, found.parameters, stages)


def known_of(message: bytes) -> Known | None:
    """What came with a message; None for nothing."""
    if isinstance(message, Accompanied) and isinstance(message.beside, Ahead):
        return message.beside
    return None


class Offering:
    """Tells front-end processes of tokenizers; see `transport.companion.Companion`."""

    front = Tokenizing

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._numbers = count(1)
        self._offered: dict[int, _Offered] = {}
        self._subscribers: set[Tell] = set()

    def subscribe(self, tell: Tell) -> Callable[[], None]:
        """Tell of all there are, and of each change from now on; gives what ends it."""
        for offered in self._offered.values():
            if len(offered.said) <= _MOST_SAID:
                tell(offered.said)
        self._subscribers.add(tell)
        return lambda: self._subscribers.discard(tell)

    def read(self, beside: bytes) -> Ahead | None:
        """None where the tokenizer is gone. Raises ValueError for what no front end writes."""
        offered = self._offered.get(number_of(beside))
        if offered is None:
            return None
        return Ahead(offered.model, offered.form, offered.form.read(beside))

    async def keep(self) -> None:
        """Follow the registry until cancelled."""
        while True:
            try:
                self.publish()
            except Exception as error:  # a bug: texts are tokenized here, as without it
                log.error("internal_error", exc_info=error, extra={"where": "offering tokenizers"})
            await self._registry.wait_changed()

    def publish(self) -> None:
        """Say what has changed since the last time."""
        routes: dict[Model, list[Route]] = {}
        for model, route in _routes(self._registry):
            routes.setdefault(model, []).append(route)
        known = {offered.model: offered for offered in self._offered.values()}
        before, self._offered = self._offered, {}
        for model, asked in routes.items():
            offered = known.get(model) or _Offered(model, next(self._numbers))
            if offered.changed(asked) and len(offered.said) <= _MOST_SAID:
                self._tell(offered.said)
            self._offered[offered.number] = offered
        for number in before.keys() - self._offered.keys():
            self._tell(pickle.dumps(Withdrawn(number)))

    def _tell(self, said: bytes) -> None:
        for tell in self._subscribers:
            tell(said)


class _Offered:
    """A load that front-end processes know. said: how they are told."""

    def __init__(self, model: Model, number: int) -> None:
        assert model.portable is not None
        self.model, self.number = model, number
        self.form = Form(model.portable.config)
        self.said = b""
        self._portable = model.portable

    def changed(self, routes: Sequence[Route]) -> bool:
        """Whether that is to be told, again."""
        offer = Offer(number=self.number, portable=self._portable, routes=tuple(routes))
        before, self.said = self.said, pickle.dumps(offer)
        return self.said != before


@asynccontextmanager
async def offering(registry: Registry) -> AsyncIterator[Offering]:
    """Tell of the registry's tokenizers until the block ends."""
    made = Offering(registry)
    keeping = asyncio.create_task(made.keep())
    try:
        yield made
    finally:
        keeping.cancel()


def _routes(registry: Registry) -> Iterator[tuple[Model, Route]]:
    """Every model that is ready whose requests begin with a tokenizer, and the tokenizer."""
    for model in registry.models():
        for tokenizer, wiring in _first_steps(model, registry):
            name = model.config.name
            yield tokenizer, Route(name, model.version, wiring)
            if registry.latest(name) is model:
                yield tokenizer, Route(name, LATEST, wiring)
            break


def _first_steps(model: Model, registry: Registry) -> Iterator[tuple[Model, dict[str, str]]]:
    """Tokenizers that take what the model is sent, as it is."""
    if _is_portable(model):
        yield model, {spec.name: spec.name for spec in model.config.inputs}
    sent = {spec.name for spec in model.config.inputs}
    for ordered in in_order(model.config.steps):
        step = ordered.step
        member = (
            registry.latest(step.model)
            if step.version is None
            else registry.served(step.model, step.version)
        )
        if member and _is_portable(member) and sent.issuperset(step.input_map.values()):
            yield member, dict(step.input_map)


def _is_portable(model: Model) -> bool:
    """What travels are texts: arrays of numbers go to the engine as they are."""
    return model.portable is not None and all(
        spec.datatype == "BYTES" for spec in model.config.inputs
    )
