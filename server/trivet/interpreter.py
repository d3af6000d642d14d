"""How Python itself is set in a process that answers calls."""

from __future__ import annotations

import gc
import sys

# Seconds that a thread may keep the interpreter while the event loop wants it. At Python's 5 ms,
# health and refusals under overload took up to twice as long (p99).
_SWITCH_S = 0.0005

# Objects made since the last look for cycles before there is another. Calls under way are more
# than Python's 700, and each look finds them alive: that was a tenth of what a small call cost.
_YOUNG_OBJECTS = 10_000


def set_up() -> None:
    """Call it once, before the first call is answered."""
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
