"""The client processes: the tester's own work shall neither wait for itself nor for its report."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from trivet_client.bench.asking import Job, Recorded, recorded
from trivet_client.errors import broken


class Workers:
    """So many processes that run loads. Use it in a `with` block: none outlives it."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")  # grpc does not survive a fork
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        for pipe in self._pipes:
            _received(pipe)  # that it is ready
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()

    def start(self, jobs: Sequence[Job]) -> None:
        """Give each process its load. Their spans say when they start."""
        for pipe, job in zip(self._pipes, jobs, strict=True):
            pipe.send(job)

    def results(self) -> list[Recorded]:
        """What they recorded, once all are done. Raises Internal if one died."""
        return [_received(pipe) for pipe in self._pipes]


def _work(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and it ends this
    pipe.send(Recorded(samples=[], busy=0.0))
    while True:
        try:
            job: Job = pipe.recv()
        except EOFError:
            return
        pipe.send(asyncio.run(recorded(job)))


def _received(pipe: Connection) -> Recorded:
    try:
        received: Recorded = pipe.recv()
    except EOFError as error:
        raise broken("a client process died; what it wrote above may say why") from error
    return received
