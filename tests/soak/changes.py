"""Whoever changes what is served while it is served: by RPCs, or by files alone."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence

import grpc
import numpy as np
from tritonclient.utils import InferenceServerException

from tests.soak.repository import Changes
from tests.soak.tally import Wrong
from tests.soak.tasks import Asking

ARRIVAL_S = 60.0  # a change of files has to be served by then
RELOADED = ("tiny", "python", "python_repeat", "echo", "pipeline", "repeat", "embed", "minilm")
OVERRIDE = {
    "backend": "fake",
    "max_batch_size": 16,
    "input": [{"name": "IN", "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [{"name": "OUT", "data_type": "TYPE_FP32", "dims": [-1]}],
    "dynamic_batching": {},
}
Change = Callable[[random.Random], Awaitable[None]]


async def answering_version(asking: Asking) -> int:
    """Which version of "versioned" answers now."""
    answer = await asking.client.infer("versioned", {"IN": np.zeros((1, 1), np.float32)})
    return answer.version or 0


class ByCalls:
    """Changes that clients ask for (--model-control-mode=explicit)."""

    def __init__(self, asking: Asking, changes: Changes) -> None:
        self._asking, self._changes = asking, changes
        self._kinds: Sequence[Change] = (
            *(self._newer_version, self._newer_sums, self._reload, self._override),
            *(self._broken, self._unknown),
        )

    async def change(self, rng: random.Random) -> None:
        await rng.choice(self._kinds)(rng)

    async def come_and_go(self, rng: random.Random) -> None:
        await self._asking.peer.unload_model("come_and_go")
        await asyncio.sleep(rng.uniform(0, 0.5))
        await self._asking.peer.load_model("come_and_go")

    async def _newer_version(self, _: random.Random) -> None:
        number = self._changes.new_version()
        await self._asking.peer.load_model("versioned")
        if (answering := await answering_version(self._asking)) != number:
            raise Wrong(f"version {number} was loaded and version {answering} answers")

    async def _newer_sums(self, _: random.Random) -> None:
        self._changes.new_sums()
        await self._asking.peer.load_model("sums")

    async def _reload(self, rng: random.Random) -> None:
        model = rng.choice(RELOADED)
        self._changes.new_config(model)
        await self._asking.peer.load_model(model)

    async def _override(self, rng: random.Random) -> None:
        """Another config and other files for "echo", sent; then those on disk again."""
        files = {"file:1/model.fake": rng.randbytes(10_000)}
        await self._asking.peer.load_model("echo", config=json.dumps(OVERRIDE), files=files)
        await self._asking.peer.load_model("echo")

    async def _broken(self, _: random.Random) -> None:
        self._changes.break_model()
        await self._is_refused("broken", "broken/config.pbtxt: line 1")
        self._changes.remove_broken()

    async def _unknown(self, _: random.Random) -> None:
        await self._is_refused("nobody", "failed to load 'nobody'")

    async def _is_refused(self, model: str, words: str) -> None:
        try:
            await self._asking.peer.load_model(model)
        except InferenceServerException as error:
            if str(grpc.StatusCode.INTERNAL) == error.status() and words in error.message():
                return
            raise
        raise Wrong(f"{model!r} was loaded")


class ByFiles:
    """Changes that the server finds by itself (--model-control-mode=poll)."""

    def __init__(self, asking: Asking, changes: Changes) -> None:
        self._asking, self._changes = asking, changes
        self._kinds: Sequence[Change] = (self._newer_version, self._newer_sums, self._reload)

    async def change(self, rng: random.Random) -> None:
        await rng.choice(self._kinds)(rng)

    async def come_and_go(self, _: random.Random) -> None:
        """With a model beside it that is broken for as long."""
        self._changes.take_away("come_and_go")
        self._changes.break_model()
        await self._until(lambda: self._is_ready("come_and_go", ready=False), "a model that went")
        self._changes.bring_back("come_and_go")
        self._changes.remove_broken()
        await self._until(lambda: self._is_ready("come_and_go", ready=True), "a model that came")

    async def _newer_version(self, _: random.Random) -> None:
        number = self._changes.new_version()

        async def answers() -> bool:
            return await answering_version(self._asking) == number

        await self._until(answers, f"version {number}")

    async def _newer_sums(self, _: random.Random) -> None:
        self._changes.new_sums()

    async def _reload(self, rng: random.Random) -> None:
        self._changes.new_config(rng.choice(RELOADED))

    async def _is_ready(self, model: str, *, ready: bool) -> bool:
        return await self._asking.client.model_ready(model) is ready

    async def _until(self, true: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(ARRIVAL_S):
                while not await true():
                    await asyncio.sleep(0.25)
        except TimeoutError:
            raise Wrong(f"{what} was not noticed within {ARRIVAL_S:.0f} s") from None
