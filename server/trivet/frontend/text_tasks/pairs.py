"""Texts that come in pairs, as two lists of a request."""

from __future__ import annotations

from collections.abc import Sequence

from trivet.errors import InvalidInput


def paired(
    task: str, field: str, texts: Sequence[str], pair_field: str, pairs: Sequence[str]
) -> list[tuple[str, str]]:
    """Each of `texts` with its own of `pairs`. Raises InvalidInput for lists of two lengths."""
    if len(pairs) != len(texts):
        raise InvalidInput(
            f"{task}: {len(texts)} {field} and {len(pairs)} {pair_field}; send one of"
            f" {pair_field} for each of {field}"
        )
    return list(zip(texts, pairs, strict=True))
