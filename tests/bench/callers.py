"""Callers of a server: so many at a time, each asking for one text after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from tests.bench.setting import CALLERS, Contestant
from trivet_backends.onnxruntime.bare import cores
from trivet_client import AsyncClient, Client, Failure
from trivet_client.values import ModelCost


class Callers:
    """64 of them in this process, on one event loop, with one connection per server."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._clients: list[AsyncClient] = []
        self.busy: list[float] = []  # CPU of this process in each unary run, share of all cores

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for client in self._clients:
            self._runner.run(client.close())
        self._runner.close()

    def unary(self, address: str) -> Contestant:
        """Each has one unary call on its way."""
        client = self._runner.run(self._connected(address))

        def ask(texts: Sequence[str]) -> None:
            started, cpu_s = time.perf_counter(), time.process_time()
            self._runner.run(_unary(client, texts))
            seconds = time.perf_counter() - started
            self.busy.append((time.process_time() - cpu_s) / seconds / cores())

        return ask

    def streamed(self, address: str) -> Contestant:
        """As many texts on their way, on one stream."""
        client = self._runner.run(self._connected(address))
        return lambda texts: self._runner.run(_streamed(client, texts))

    async def _connected(self, address: str) -> AsyncClient:
        self._clients.append(AsyncClient(address))
        await self._clients[-1].wait_ready()
        return self._clients[-1]


async def _unary(client: AsyncClient, texts: Sequence[str]) -> None:
    waiting = iter(texts)

    async def caller() -> None:
        for text in waiting:
            await client.embed(text)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def _streamed(client: AsyncClient, texts: Sequence[str]) -> None:
    async for index, answer in client.embed_stream(texts, in_flight=CALLERS):
        if isinstance(answer, Failure):
            raise RuntimeError(f"text {index}: {answer.message}")


def check_answers(address: str, texts: Sequence[str], expected: np.ndarray, least: float) -> None:
    """A fast wrong answer is no answer. least: the cosine that each embedding must have."""
    with Client(address) as client:
        vectors = client.embed(texts).vectors
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = ((vectors * expected).sum(axis=1) / norms).min()
    if not cosine >= least:
        raise RuntimeError(f"the server's embeddings agree with the engine's to {cosine} only")


class Padding:
    """The padding ratio of one model in each run of one contestant."""

    def __init__(self, address: str, model: str, contestant: str) -> None:
        self.ratios: list[float] = []
        self._address = address
        self._model = model
        self._contestant = contestant
        self._before: Sequence[ModelCost] = ()

    def look(self, ended: str) -> None:
        """Call it before the first run and after each run of any contestant, with its name."""
        with Client(self._address) as client:
            after = client.model_costs(self._model)
        if ended == self._contestant:
            self.ratios.append(_ratio(self._before, after))
        self._before = after


def _ratio(before: Sequence[ModelCost], after: Sequence[ModelCost]) -> float:
    tokens, padding = (
        _sum(after, count) - _sum(before, count)
        for count in (lambda cost: cost.tokens, lambda cost: cost.padding_tokens)
    )
    return padding / (tokens + padding)


def _sum(costs: Sequence[ModelCost], count: Callable[[ModelCost], int]) -> int:
    return sum(map(count, costs))
