"""Which dimensions of a model's tensors always agree, found out by trying.

OpenVINO's files name no dimensions. So each that varies is given a prime for its size, and the
model is asked, by working out its shapes, whether it can be: a dimension that cannot differ from an
earlier one is the same, and an output dimension of that size follows it. Takes 30 to 130 ms
(MiniLM, BERT-base).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino

Symbols = tuple[str, ...]
_Place = tuple[int, int]  # input, dimension

# More dimensions than these that differ from each other keep no symbol; small, as a model may not
# take long inputs.
_PRIMES = (7, 11, 13, 17, 19, 23, 29, 31)


@dataclass(frozen=True, slots=True)
class Found:
    """The symbols of every input and output, in order; "" for a dimension without one."""

    inputs: tuple[Symbols, ...]
    outputs: tuple[Symbols, ...]


def symbols_of(model: openvino.Model, names: Sequence[str]) -> Found:
    """Find the symbols; they are called after the first input that has them, e.g. "input_ids.1".

    names: of the inputs. The model is left as it is.
    """
    probe = _Probe(model.clone())
    sizes = probe.sizes()
    called: dict[int, str] = {}
    for (index, axis), size in sizes.items():
        called.setdefault(size, f"{names[index]}.{axis}")
    inputs = tuple(
        tuple(called.get(sizes.get((index, axis), 0), "") for axis in range(rank))
        for index, rank in enumerate(probe.ranks)
    )
    dims = [port.get_partial_shape() for port in model.outputs]
    outputs = tuple(
        tuple(
            called.get(with_primes, "") if size.is_dynamic else ""
            for size, with_primes in zip(shape, shape_with_primes, strict=True)
        )
        for shape, shape_with_primes in zip(dims, probe.outputs(sizes), strict=True)
    )
    return Found(inputs, outputs)


class _Probe:
    """Works out a copy's shapes for given sizes of its inputs."""

    def __init__(self, model: openvino.Model) -> None:
        self._model = model
        self._shapes = [port.get_partial_shape() for port in model.inputs]
        self.ranks = [len(shape) for shape in self._shapes]

    def sizes(self) -> Mapping[_Place, int]:
        """A prime for every dimension that varies: its own, or that of the one it follows."""
        sizes: dict[_Place, int] = {}
        for index, shape in enumerate(self._shapes):
            for axis in range(len(shape)):
                if shape[axis].is_dynamic:
                    size = self._size_of((index, axis), sizes)
                    sizes.update({(index, axis): size} if size else {})
        return sizes

    def outputs(self, sizes: Mapping[_Place, int]) -> list[list[int]]:
        """The outputs' sizes for these of the inputs; 0 where they vary all the same."""
        if not self._fits(sizes):
            return [[0] * len(port.get_partial_shape()) for port in self._model.outputs]
        return [
            [0 if size.is_dynamic else size.get_length() for size in port.get_partial_shape()]
            for port in self._model.outputs
        ]

    def _size_of(self, place: _Place, sizes: Mapping[_Place, int]) -> int:
        taken = list(dict.fromkeys(sizes.values()))
        fresh = next((prime for prime in _PRIMES if prime not in taken), 0)
        candidates = product([place], [fresh, *taken] if fresh else taken)
        return next((size for _, size in candidates if self._fits({**sizes, place: size})), 0)

    def _fits(self, sizes: Mapping[_Place, int]) -> bool:
        """Whether the model's shapes can be worked out with these sizes; the rest varies."""
        import openvino

        shapes = {
            index: openvino.PartialShape(
                [
                    openvino.Dimension(sizes[index, axis]) if (index, axis) in sizes else size
                    for axis, size in enumerate(shape)
                ]
            )
            for index, shape in enumerate(self._shapes)
        }
        try:
            self._model.reshape(shapes)
        except RuntimeError:  # the engine's word for shapes that contradict each other
            return False
        return True
