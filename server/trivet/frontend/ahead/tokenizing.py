"""The front end's part: texts are tokenized before their call is sent to the owner.

Whatever is not right, here or with the call, is left to the owner: nothing is refused here.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from trivet import plugins
from trivet.backend.contract import Answer, Backend, Batch, Instance, QuickInstance, Rows
from trivet.backend.portable import Portable
from trivet.backend.reshaped import instance_of
from trivet.errors import ServeError
from trivet.frontend.ahead.asked import Asked, Reader, readers
from trivet.frontend.ahead.offer import Offer, Wiring, Withdrawn
from trivet.frontend.ahead.sidecar import Form, Times
from trivet.request import Tensors
from trivet.scheduling.executor import Executor

log = logging.getLogger("trivet.frontend")

# Of a message that is looked at. A longer one keeps the owner busy with more than its tokens, and
# would keep this loop busy with reading it.
MOST_BYTES = 256 << 10
_MOST_UNDER_WAY = 4  # of the thread's; others are not made to wait for it, the owner has more

Load = Callable[[str], Backend]


class Tokenizing:
    """Made in each process that takes connections; used from its event loop."""

    def __init__(self, load_backend: Load = plugins.load_backend) -> None:
        self._load_backend = load_backend
        self._readers = readers()
        self._offers: dict[int, Offer] = {}  # of what is or will be open
        self._open: dict[int, _Tokenizer] = {}
        self._routes: dict[tuple[str, int], tuple[_Tokenizer, Wiring]] = {}
        self._models: frozenset[str] = frozenset()  # of the routes
        self._opening = Executor("tokenizers-open")
        self._thread = Executor("tokenizers")
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def told(self, said: bytes) -> None:
        """The owner, who may say anything, offers a tokenizer or takes one back."""
        offer: Offer | Withdrawn = pickle.loads(said)
        if isinstance(offer, Withdrawn):
            self._offers.pop(offer.number, None)
            self._open.pop(offer.number, None)
        else:
            is_new = offer.number not in self._offers
            self._offers[offer.number] = offer
            if is_new:
                task = asyncio.get_running_loop().create_task(self._use(offer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._set_routes()

    def preparing(self, method: str) -> Callable[[bytes], bytes | Awaitable[bytes]] | None:
        """What is done with each message of a method; None: it brings no texts."""
        reader = self._readers.get(method)
        return partial(self._prepare, reader) if reader else None

    async def _use(self, offer: Offer) -> None:
        opening = partial(_opened, offer, self._load_backend)
        try:
            tokenizer = await self._opening.run(opening)
        except Exception as error:  # files and engines may raise anything
            self._report("frontend_tokenizer_not_loaded", offer, error)
            return
        if offer.number in self._offers:
            self._open[offer.number] = tokenizer
            self._set_routes()

    def _set_routes(self) -> None:
        self._routes = {
            (route.model, route.version): (tokenizer, route.wiring)
            for number, tokenizer in self._open.items()
            for route in self._offers[number].routes
        }
        self._models = frozenset(model for model, _ in self._routes)

    def _prepare(self, read: Reader, message: bytes) -> bytes | Awaitable[bytes]:
        if not self._routes or len(message) > MOST_BYTES:
            return b""
        try:
            asked = read(message, self._models.__contains__)
        except ServeError:
            return b""
        except Exception as error:
            log.error("internal_error", exc_info=error, extra={"where": "tokenizing ahead"})
            return b""
        if asked is None or (route := self._routes.get((asked.model, _number(asked)))) is None:
            return b""
        tokenizer, wiring = route
        inputs = tokenizer.inputs_of(asked, wiring)
        if not inputs:
            return b""
        requests = [Rows(each, asked.parameters) for each in inputs.values()]
        batch = Batch(requests, time.monotonic_ns)
        if tokenizer.is_quick(batch):
            return self._tried(tokenizer, tokenizer.here, batch, inputs)
        if self._under_way >= _MOST_UNDER_WAY:
            return b""
        return self._elsewhere(tokenizer, batch, inputs)

    async def _elsewhere(self, tokenizer: _Tokenizer, batch: Batch, keys: Iterable[bytes]) -> bytes:
        self._under_way += 1
        try:
            return await self._thread.run(self._tried, tokenizer, tokenizer.there, batch, keys)
        finally:
            self._under_way -= 1

    def _tried(
        self, tokenizer: _Tokenizer, instance: Instance, batch: Batch, keys: Iterable[bytes]
    ) -> bytes:
        try:
            return tokenizer.answers(instance, batch, keys)
        except Exception as error:
            # One call may be the reason, and the next as well: the owner knows how to go on.
            self._report("frontend_tokenizer_failed", tokenizer.offer, error)
            return b""

    def _report(self, event: str, offer: Offer, error: Exception) -> None:
        portable = offer.portable
        extra = {"model": portable.config.name, "version": portable.version}
        log.warning(event, extra={**extra, "why": f"{type(error).__name__}: {error}"})


@dataclass(frozen=True, slots=True)
class _Tokenizer:
    """An offer that is open. here, there: instances of the loop's and of the thread's.

    is_quick: whether the loop may do it.
    """

    offer: Offer
    form: Form
    here: Instance
    there: Instance
    is_quick: Callable[[Batch], bool]
    needs: frozenset[str]  # of its inputs

    def inputs_of(self, asked: Asked, wiring: Wiring) -> Mapping[bytes, Tensors]:
        """What it is asked, each once, by its key. Nothing if it does not take all of it."""
        found = dict[bytes, Tensors]()
        for tensors in asked.inputs:
            inputs = {name: tensors[fed] for name, fed in wiring.items() if fed in tensors}
            if not self.needs <= inputs.keys():
                return {}
            try:
                found[self.form.key(inputs)] = inputs
            except ValueError:
                return {}
        return found

    def answers(self, instance: Instance, batch: Batch, keys: Iterable[bytes]) -> bytes:
        """All that it has an answer to; the others are refused by the owner, in his words."""
        began_ns = time.monotonic_ns()
        made = instance.execute(batch)
        done_ns = time.monotonic_ns()
        merged_ns = batch.merged_ns or began_ns
        computed_ns = batch.computed_ns or done_ns
        times = Times(
            began_ns, merged_ns - began_ns, computed_ns - merged_ns, done_ns - computed_ns
        )
        answers = [
            (key, answer)
            for key, answer in zip(keys, made, strict=True)
            if isinstance(answer, Answer)
        ]
        if not answers:
            return b""
        return self.form.written(self.offer.number, times, batch.requests[0].parameters, answers)


def _number(asked: Asked) -> int:
    return asked.version if isinstance(asked.version, int) else -1


def _opened(offer: Offer, load_backend: Load) -> _Tokenizer:
    """Raises ValueError if the files are not those that the owner has opened, else what opening
    raises.
    """
    portable: Portable = offer.portable
    backend = load_backend(portable.config.backend)
    artifact = backend.open(portable.config.reshaped, portable.context())
    if getattr(artifact, "digest", None) != portable.digest:
        raise ValueError("its files have changed since the server has loaded it")
    config = portable.config
    here, there = (instance_of(artifact, config) for _ in range(2))
    is_quick = here.is_quick if isinstance(here, QuickInstance) else _never
    needs = frozenset(spec.name for spec in config.inputs if not spec.optional)
    return _Tokenizer(offer, Form(config), here, there, is_quick, needs)


def _never(batch: Batch) -> bool:
    return False
