"""First requests of our own, so that no caller pays for what an engine does only once.

A model's config may write them (`model_warmup`); otherwise one small sample is made up. With
`warm_up_lengths` every length named is run as well, in as large a batch as it would be served in.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

import numpy as np

from trivet.backend.contract import Batch, Instance, Rows
from trivet.clock import Clock
from trivet.config import ModelConfig, TensorSpec, WarmUp, WarmUpData, WarmUpInput
from trivet.config_file import Faults
from trivet.errors import Fault, InvalidConfig, InvalidInput, ServeError
from trivet.model.validation import Validator
from trivet.request import InferRequest
from trivet_protos import wire

log = logging.getLogger(__name__)

SIZE = 8  # of every dimension that varies, where nothing says another

FOLDER = "warmup"  # of a model, beside its versions: the data files that its config names


@dataclass(frozen=True, slots=True)
class Sample:
    """One batch to run, `count` times. where: how a failure names it."""

    requests: Sequence[Rows]
    where: str
    count: int = 1


def samples_of(config: ModelConfig, folder: Path, faults: Faults) -> tuple[Sample, ...]:
    """The batches that a config wants every instance to run before the model is ready.

    config: complete, as the engine sees it, with the inputs that the scheduler of sequences fills.
    folder: the model's own, which holds the folder warmup. What a config asks for
    and cannot be had is added to `faults`: a missing file, a shape that the model would refuse.
    """
    written = tuple(
        _written(
            warm_up, f"{config.name}/config.pbtxt: model_warmup[{index}]", config, folder, faults
        )
        for index, warm_up in enumerate(config.warm_ups)
    )
    return written + _of_lengths(config, faults)


def warm_up(
    instance: Instance,
    config: ModelConfig,
    clock: Clock,
    samples: Sequence[Sample] = (),
    *,
    made_up: bool = True,
) -> None:
    """Run the samples through an instance, in the thread that owns it.

    Where the config writes none, a made-up one is run first, if `made_up`. Of that it raises what
    the engine raises; an answer that refuses it (a text without a mask token, say) is no fault: the
    path to it is warm. Raises InvalidConfig naming the sample of the config that failed or was
    refused.
    """
    if made_up and not config.warm_ups:
        inputs = {spec.name: sample(spec, config) for spec in config.inputs}
        instance.execute(Batch([Rows(inputs)], clock.now_ns))
    for written in samples:
        for _ in range(written.count):
            _run(instance, Batch(written.requests, clock.now_ns), written.where)


def sample(
    spec: TensorSpec, config: ModelConfig, sizes: Mapping[str, int] = MappingProxyType({})
) -> np.ndarray:
    """One row of zeros, or of a short text where the elements are BYTES.

    sizes: of dimensions that vary, by their symbols; the others have SIZE.
    """
    symbols = spec.symbols or ("",) * len(spec.dims)
    pairs = zip(spec.dims, symbols, strict=True)
    own = tuple(sizes.get(symbol, SIZE) if dim == -1 else dim for dim, symbol in pairs)
    shape = (1, *own) if config.max_batch_size else own
    if spec.datatype == "BYTES":
        return np.full(shape, b"warm up", dtype=object)
    return np.zeros(shape, dtype=wire.numpy_dtype(spec.datatype))


def _run(instance: Instance, batch: Batch, where: str) -> None:
    cure = "correct it, or remove it"
    try:
        answers = instance.execute(batch)
    except ServeError as error:
        raise InvalidConfig([Fault(where, f"failed: {error.message}", cure)]) from error
    except Exception as error:  # an engine may raise anything
        log.error("warm_up_failed", exc_info=error, extra={"sample": where})
        what = f"failed: {type(error).__name__}: {error}"
        raise InvalidConfig([Fault(where, what, cure)]) from error
    for answer in answers:
        if isinstance(answer, ServeError):
            raise InvalidConfig([Fault(where, f"was refused: {answer.message}", cure)])


def _of_lengths(config: ModelConfig, faults: Faults) -> tuple[Sample, ...]:
    """One batch per length, with as many rows as it would be served with at most.

    A row longer than max_batch_tokens is a batch of its own, as in serving.
    """
    policy = config.dynamic_batching
    if not config.warm_up_lengths or policy is None:
        return ()
    where = f'{config.name}/config.pbtxt: parameters["warm_up_lengths"]'
    symbols = Counter(symbol for spec in config.inputs for symbol in spec.symbols if symbol)
    if not symbols:
        what = "needs an input with a dimension that varies and has a name"
        faults.add(where, what, "remove it, or give the artifact's dimension a name")
        return ()
    tokens = symbols.most_common(1)[0][0]  # ids, mask and types share it; mask positions do not
    made = []
    for length in config.warm_up_lengths:
        rows = policy.max_batch_size
        if policy.max_batch_tokens:
            rows = min(rows, max(1, policy.max_batch_tokens // length))
        sizes = {tokens: length}
        one = Rows({spec.name: sample(spec, config, sizes) for spec in config.inputs})
        made.append(Sample([one] * rows, f"{where}: {rows} x {length} tokens"))
    return tuple(made)


def _written(
    warm_up: WarmUp, where: str, config: ModelConfig, folder: Path, faults: Faults
) -> Sample:
    """A sample as the config writes it: batch_size requests of one row each, all alike."""
    where = f"{where} '{warm_up.name}'" if warm_up.name else where
    found = len(faults)
    random = np.random.default_rng(0)  # the same for every instance and load: no load fails by luck
    inputs = {
        name: _values(given, config, folder / FOLDER, f'{where}.inputs["{name}"]', random, faults)
        for name, given in warm_up.inputs.items()
    }
    policy = config.sequence_batching
    filled = policy.filled_inputs if policy else frozenset()
    for spec in config.inputs:
        if spec.name in filled and spec.name not in inputs:
            inputs[spec.name] = sample(spec, config)
    if len(faults) == found:
        try:
            Validator(config).check(InferRequest(model=config.name, inputs=inputs))
        except InvalidInput as error:
            faults.add(where, f"the model would refuse it: {error.message}", "correct it")
    return Sample([Rows(inputs)] * warm_up.batch_size, where, warm_up.count)


def _values(
    given: WarmUpInput,
    config: ModelConfig,
    folder: Path,
    where: str,
    random: np.random.Generator,
    faults: Faults,
) -> np.ndarray:
    shape = (1, *given.dims) if config.max_batch_size else given.dims
    if given.data is WarmUpData.FILE:
        return _from_file(given, shape, folder, f"{where}.input_data_file", faults)
    if given.datatype == "BYTES":  # Triton's: empty texts, also for random_data
        return np.full(shape, b"", dtype=object)
    dtype = wire.numpy_dtype(given.datatype)
    if given.data is WarmUpData.ZERO:
        return np.zeros(shape, dtype)
    # Not random bytes, as Triton has it: they are NaN at times, and no token's id nearly always.
    if dtype.kind in "biu":
        return random.integers(0, 2, shape).astype(dtype)
    return random.random(shape).astype(dtype)


def _from_file(
    given: WarmUpInput, shape: tuple[int, ...], folder: Path, where: str, faults: Faults
) -> np.ndarray:
    """One row from a file of raw bytes, as they travel in raw_input_contents.

    A longer file is read as far as the shape goes, as Triton does; an array without elements stands
    for what is faulty.
    """
    path = folder
    for part in (".", *Path(given.file).parts):
        path /= part
        if path.is_symlink():
            what = f"'{path.name}' is a link, which may lead out of the folder {FOLDER}"
            faults.add(where, what, "put the file itself there")
            return np.empty(0)
    if not path.is_file():
        what = f"there is no file '{given.file}' in the model's folder {FOLDER}"
        faults.add(where, what, "put it there")
        return np.empty(0)
    try:
        raw = path.read_bytes()
        if (size := wire.element_size(given.datatype)) is not None:
            raw = raw[: prod(shape) * size]
        return wire.decode_raw(raw, given.datatype, shape)
    except OSError as error:
        faults.add(where, f"cannot be read: {error.strerror}", "make it readable")
    except wire.WireError as error:
        faults.add(where, f"does not hold it: {error}", "correct the file or dims")
    return np.empty(0)
