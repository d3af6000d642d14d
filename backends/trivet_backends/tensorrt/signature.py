"""What an engine tells of its tensors, in the server's terms.

A plan has lost the names of its dimensions. Inputs whose profiles are alike in a dimension are
taken to agree in it; which outputs follow is found by working out their shapes for two sizes,
without running anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from trivet.backend.contract import Signature
from trivet.config import TensorSpec
from trivet_backends.tensorrt.engine import Engine, Tensor
from trivet_backends.tensorrt.profiles import Profile, Shape

ShapesOf = Callable[[Profile, Mapping[str, Shape]], Mapping[str, Shape] | None]
BATCH = "batch"

_Place = tuple[str, int]  # input, dimension


def signature(engine: Engine, profiles: Sequence[Profile], shapes_of: ShapesOf) -> Signature:
    """The engine's tensors with symbols. shapes_of: the outputs' shapes for the inputs', or None if
    these do not fit each other.
    """
    symbols = _symbols(engine.inputs, engine.profiles)
    tried = [found for profile in profiles for found in _tries(profile, symbols, shapes_of)]
    return Signature(
        inputs=tuple(_input(tensor, symbols if tried else {}) for tensor in engine.inputs),
        outputs=tuple(_output(tensor, tried) for tensor in engine.outputs),
    )


def _symbols(inputs: Sequence[Tensor], profiles: Sequence[Profile]) -> dict[_Place, str]:
    """A name for each dimension that varies; the same for those alike in every profile."""
    named: dict[tuple[object, ...], str] = {}
    symbols = {}
    for tensor in inputs:
        for axis, size in enumerate(tensor.shape):
            if size == -1:
                ranges = [profile.ranges[tensor.name] for profile in profiles]
                alike = (axis, *((r.least[axis], r.best[axis], r.most[axis]) for r in ranges))
                own = BATCH if axis == 0 else f"{tensor.name}.{axis}"
                symbols[tensor.name, axis] = named.setdefault(alike, own)
    return symbols


_Try = tuple[Mapping[str, int], Mapping[str, Shape]]  # sizes by symbol, and the outputs' shapes


def _tries(profile: Profile, symbols: Mapping[_Place, str], shapes_of: ShapesOf) -> Sequence[_Try]:
    """Shapes of the outputs where every symbol has a size of its own; twice, or not at all."""
    found: list[_Try] = []
    for fewer in (0, 1):
        sizes: dict[str, int] = {}
        for (name, axis), symbol in symbols.items():
            one = profile.ranges[name]
            free = range(max(one.most[axis] - fewer, one.least[axis]), one.least[axis] - 1, -1)
            size = next((size for size in free if size not in sizes.values()), 0)
            sizes.setdefault(symbol, size)
        if not all(sizes.values()):
            return ()
        shapes = {
            name: tuple(
                sizes[symbols[name, axis]] if (name, axis) in symbols else size
                for axis, size in enumerate(one.most)
            )
            for name, one in profile.ranges.items()
        }
        outputs = shapes_of(profile, shapes)
        if outputs is None:
            return ()
        found.append((sizes, outputs))
    return found


def _input(tensor: Tensor, symbols: Mapping[_Place, str]) -> TensorSpec:
    told = tuple(symbols.get((tensor.name, axis), "") for axis in range(len(tensor.shape)))
    return TensorSpec(name=tensor.name, datatype=tensor.datatype, dims=tensor.shape, symbols=told)


def _output(tensor: Tensor, tried: Sequence[_Try]) -> TensorSpec:
    symbols = []
    for axis, dim in enumerate(tensor.shape):
        candidates = [
            {s for s, size in sizes.items() if shapes[tensor.name][axis] == size}
            for sizes, shapes in tried
        ]
        agreed = sorted(set.intersection(*candidates)) if candidates and dim == -1 else []
        symbols.append(agreed[0] if agreed else "")
    return TensorSpec(
        name=tensor.name, datatype=tensor.datatype, dims=tensor.shape, symbols=tuple(symbols)
    )
