"""Good bytes with a few of them changed, taken out, put in or said twice."""

from __future__ import annotations

import random

from hypothesis import strategies as st

_MOST = 4  # changes; more make any bytes of good ones


def mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """A strategy of what becomes of some bytes."""
    return st.integers(0, 2**32 - 1).map(lambda number: mutation(seed, number))


def mutation(seed: bytes, number: int) -> bytes:
    """One of the many things that can become of some bytes; the same number makes the same."""
    chance, data = random.Random(number), bytearray(seed)
    for _ in range(chance.randint(1, _MOST)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0 if place < len(data):
                data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 1:
                del data[place : place + chance.randint(1, 8)]
            case 2:
                data[place:place] = chance.randbytes(chance.randint(1, 4))
            case _:
                data[place:place] = data[place : place + chance.randint(1, 40)]
    return bytes(data)
