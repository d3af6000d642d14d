"""Memory that ends: how engines say it, each in words of its own."""

from __future__ import annotations

import re

# NumPy and Python raise MemoryError; engines raise what they raise for everything else.
_WORDS = re.compile(
    r"\bMemoryError\b"  # of code in a process of its own
    r"|bad[ _]alloc"  # C++: ONNX Runtime, OpenVINO
    r"|failed to allocate memory"  # ONNX Runtime
    r"|can't allocate memory|not enough memory"  # torch on a CPU
    r"|out of memory|out_of_memory|cudaErrorMemoryAllocation",  # CUDA, torch, TensorRT
    re.IGNORECASE,
)


def is_exhaustion(error: BaseException) -> bool:
    """Whether an engine's failure was for want of memory."""
    return isinstance(error, MemoryError) or bool(_WORDS.search(str(error)))
