"""The batches that exports are traced with and checked on: real sentences, in many shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trivet_backends.workshop.check_batch import CheckBatch, check_batch
from trivet_backends.workshop.checkpoint import Checkpoint
from trivet_backends.workshop.export.source import signature
from trivet_backends.workshop.options import GraphOptions, Task

# Which rows of the check batch go together; each company is cut to its longest row. The whole has
# padding on both sides and holes; one row alone has none, and is another batch size and length.
_COMPANIES = ((0, 1, 2, 3, 4, 5, 6, 7), (0,), (1, 7), (3,))


def check_batches(checkpoint: Checkpoint, options: GraphOptions) -> list[CheckBatch]:
    """Batches of 8, 1, 2 and 1 rows, and of several lengths."""
    mask_id = checkpoint.tokenizer.mask_token_id if options.task is Task.FILL_MASK else None
    whole = check_batch(checkpoint.folder / "tokenizer.json", checkpoint.config, mask_id)
    return [_company(whole, rows) for rows in _COMPANIES]


def inputs_of(batch: CheckBatch, options: GraphOptions) -> dict[str, np.ndarray]:
    """The batch's arrays by the names of the head's inputs, in their order."""
    arrays = {**batch.tokens, "mask_positions": batch.mask_positions}
    return {name: arrays[name] for name in signature(options).inputs}


def trace_inputs(checkpoint: Checkpoint, options: GraphOptions) -> Mapping[str, np.ndarray]:
    """Two rows to trace with: no dimension is 1, which tracers take for a constant."""
    return inputs_of(check_batches(checkpoint, options)[2], options)


def _company(whole: CheckBatch, rows: Sequence[int]) -> CheckBatch:
    present = whole.tokens["attention_mask"][list(rows)].any(axis=0)
    length = int(np.flatnonzero(present)[-1]) + 1
    tokens = {
        name: np.ascontiguousarray(array[list(rows), :length])
        for name, array in whole.tokens.items()
    }
    return CheckBatch(tokens=tokens, mask_positions=whole.mask_positions[list(rows)])
