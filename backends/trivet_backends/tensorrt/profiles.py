"""Which optimization profile of an engine runs a batch: pure. The choice is Triton's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivet.errors import InvalidInput

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The shapes that a profile takes of one input, and the one it is best at."""

    least: Shape
    best: Shape
    most: Shape

    def takes(self, shape: Shape) -> bool:
        return len(shape) == len(self.least) and all(
            least <= size <= most
            for least, size, most in zip(self.least, shape, self.most, strict=True)
        )

    def distance(self, shape: Shape) -> int:
        return sum(abs(size - best) for size, best in zip(shape, self.best, strict=True))

    def __str__(self) -> str:
        sizes = zip(self.least, self.most, strict=True)
        return "x".join(str(low) if low == high else f"{low}..{high}" for low, high in sizes)


@dataclass(frozen=True, slots=True)
class Profile:
    """One of an engine's, by its number."""

    index: int
    ranges: Mapping[str, Range]  # by input

    def takes(self, shapes: Mapping[str, Shape]) -> bool:
        return all(self.ranges[name].takes(shape) for name, shape in shapes.items())

    def distance(self, shapes: Mapping[str, Shape]) -> int:
        return sum(self.ranges[name].distance(shape) for name, shape in shapes.items())


def choose(profiles: Sequence[Profile], shapes: Mapping[str, Shape]) -> Profile:
    """The profile that takes the shapes and whose best ones are the nearest.

    Raises InvalidInput if none takes them.
    """
    fitting = [profile for profile in profiles if profile.takes(shapes)]
    if fitting:
        return min(fitting, key=lambda profile: (profile.distance(shapes), profile.index))
    name = next(
        (n for n, s in shapes.items() if not any(p.ranges[n].takes(s) for p in profiles)),
        next(iter(shapes)),
    )
    known = ", ".join(dict.fromkeys(str(profile.ranges[name]) for profile in profiles))
    told = "x".join(map(str, shapes[name]))
    raise InvalidInput(
        f"input '{name}': the engine takes no shape {told}, but {known}; send such a one"
    )
