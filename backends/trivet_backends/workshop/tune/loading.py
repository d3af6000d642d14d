"""The load that candidates are measured under: `trivet bench`'s own, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from trivet.errors import EngineFailed, Fault, InvalidConfig
from trivet_backends.workshop.tune.options import LoadOptions
from trivet_backends.workshop.tune.ranking import Measured
from trivet_backends.workshop.tune.trial_server import TrialServer
from trivet_client.bench import distribution, inputs
from trivet_client.bench.asking import Inputs, Target
from trivet_client.bench.levels import Bench, Extent
from trivet_client.bench.schedule import ClosedLoop, OpenLoop
from trivet_client.bench.workers import Workers
from trivet_client.client import Client
from trivet_client.errors import TrivetError
from trivet_client.values import ModelMetadata

_POOL = 512  # different texts, sent in turn


class Load:
    """Measures servers with the same requests in the same order."""

    def __init__(self, options: LoadOptions, workers: Workers) -> None:
        self._options = options
        self._workers = workers
        self._inputs: Inputs | None = None

    def measure(self, server: TrialServer, model: str) -> Measured:
        """One run. Requests that fail are told, not raised."""
        options = self._options
        pace = ClosedLoop(options.concurrency) if options.rate is None else OpenLoop(options.rate)
        try:
            with Client(server.address) as client:
                if self._inputs is None:
                    self._inputs = made_inputs(options, client.model_metadata(model))
                bench = Bench(
                    target=Target(address=server.address, task="infer", model=model),
                    inputs=self._inputs,
                    extent=Extent(
                        warmup_s=options.warmup_s, duration_s=options.duration_s, requests=None
                    ),
                    seed=options.seed,
                    processes=1,
                    client=client,
                    behind=None,
                    server_pid=None,
                    baseline=None,
                    texts=(),
                )
                told = bench.level(self._workers, pace).summary
        except TrivetError as error:
            raise EngineFailed(error.message) from error
        errors = ", ".join(f"{count} x {status}" for status, count in told.errors.items())
        if told.latency is None:
            return Measured(texts_per_s=0, p50_ms=0, p99_ms=0, errors=errors or "no answer in time")
        return Measured(
            texts_per_s=told.texts_per_s,
            p50_ms=told.latency.p50_ms,
            p99_ms=told.latency.p99_ms,
            errors=errors,
        )


@contextmanager
def loading(options: LoadOptions) -> Iterator[Load]:
    """A load and its client process, for as long as the block lasts."""
    check(options)
    with Workers(1) as workers:
        yield Load(options, workers)


def check(options: LoadOptions) -> None:
    """Raises InvalidConfig for lengths that are none, and a file of texts that cannot be used."""
    try:
        distribution.lengths(options.lengths)
        if options.texts is not None:
            inputs.texts_of_file(options.texts)
    except TrivetError as error:
        flag, _, rest = error.message.partition(":")
        cure = "see trivet tune --help"
        raise InvalidConfig([Fault(flag, rest.strip() or "cannot be used", cure)]) from error


def made_inputs(options: LoadOptions, metadata: ModelMetadata) -> Inputs:
    """Requests of one text each; of random numbers as long as the texts where there is no text.

    Raises TrivetError for a model whose inputs have a dimension that no length tells.
    """
    chosen = distribution.lengths(options.lengths)
    if not inputs.takes_text(metadata):
        rng = np.random.default_rng(options.seed)
        drawn = chosen.draw(rng, _POOL)
        return [_tensors(metadata, int(length), options.seed) for length in drawn]
    if options.texts is not None:
        texts: Sequence[str] = inputs.texts_of_file(options.texts)
    else:
        masked = inputs.fills_masks(metadata)
        texts = distribution.texts(chosen, _POOL, options.seed, masked=masked)
    return inputs.text_tensors(inputs.grouped(texts, 1), metadata)


def _tensors(metadata: ModelMetadata, length: int, seed: int) -> dict[str, np.ndarray]:
    """One row: each dimension of any size but the batch's has the length."""
    shapes = []
    for spec in metadata.inputs:
        sizes = [
            size if size >= 0 else 1 if place == 0 else length
            for place, size in enumerate(spec.shape)
        ]
        shapes.append(f"{spec.name}:{','.join(map(str, sizes))}")
    return inputs.tensors(metadata, [], shapes, seed)
