"""What a frozen encoder makes of the rows: computed once, kept on disk under a key of its content.

The key is a digest of the checkpoint's files and of every token id, so a changed file, tokenizer,
length or split finds nothing and computes anew; another head, rate or seed finds all of it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.build_file import Json
from trivet_backends.workshop.finetune import cache
from trivet_backends.workshop.finetune.encode import Row, padded
from trivet_backends.workshop.finetune.examples import HeadTask
from trivet_backends.workshop.finetune.plan import in_order
from trivet_backends.workshop.finetune.tasks import asked

RECIPE = 1  # raise it when the same key would give other features
_FILE = "features.npy"
_ROWS_AT_ONCE = 32
_SPARE_BYTES = 1 << 28  # that a disk must have left over


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """vectors: float32 [asked, width], mapped from disk. starts: int64 [rows + 1]."""

    vectors: np.ndarray
    starts: np.ndarray

    def of(self, places: Sequence[int]) -> np.ndarray:
        """float32 [asked, width]: the vectors of these rows, one row's after the other's."""
        return np.concatenate([self.vectors[self.starts[i] : self.starts[i + 1]] for i in places])


def key_of(files: Mapping[str, Json], task: HeadTask, rows: Sequence[Row]) -> str:
    """files: the digest of each file of the checkpoint."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((RECIPE, sorted(files.items()))).encode())
    for row in rows:
        for array in (row.ids, row.types, asked(row, task).astype(np.int32)):
            digest.update(len(array).to_bytes(4, "little"))
            digest.update(array.tobytes())
    return digest.hexdigest()


def compute(
    model: Any,
    rows: Sequence[Row],
    task: HeadTask,
    target: Path,
    *,
    device: Any,
    most_bytes: int,
    done: Callable[[int, int], None],
) -> None:
    """Compute the features of all rows into the folder `target`, unless they are there.

    most_bytes: of all features beside it; what was not used for longest makes room.
    done: called with the rows that are done and all. A folder appears whole or not at all.
    """
    if (target / _FILE).is_file():
        cache.touch(target)
        return
    starts = _starts(rows, task)
    width = model.config.hidden_size
    needed = int(starts[-1]) * width * 4
    cache.make_room(target.parent, needed, most_bytes)
    _check_space(target.parent, needed)
    scratch = Path(tempfile.mkdtemp(prefix=cache.SCRATCH, dir=target.parent))
    try:
        vectors = np.lib.format.open_memmap(
            scratch / _FILE, mode="w+", dtype=np.float32, shape=(int(starts[-1]), width)
        )
        _fill(vectors, starts, model.bert.to(device).eval(), rows, task, device, done)
        vectors.flush()
        _put_in_place(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def opened(rows: Sequence[Row], task: HeadTask, target: Path) -> Features:
    """What `compute` left in `target`."""
    vectors = np.load(target / _FILE, mmap_mode="r")
    return Features(vectors=vectors, starts=_starts(rows, task))


def _starts(rows: Sequence[Row], task: HeadTask) -> np.ndarray:
    counts = [len(asked(row, task)) for row in rows]
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _fill(
    vectors: np.ndarray,
    starts: np.ndarray,
    bert: Any,
    rows: Sequence[Row],
    task: HeadTask,
    device: Any,
    done: Callable[[int, int], None],
) -> None:
    count = 0
    for batch in in_order([len(row.ids) for row in rows], _ROWS_AT_ONCE):
        some = [rows[place] for place in batch]
        arrays = padded(some, bert.config.pad_token_id or 0)
        inputs = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        with torch.inference_mode():
            hidden = bert(**inputs).last_hidden_state.float().cpu().numpy()
        for at, (place, row) in enumerate(zip(batch, some, strict=True)):
            vectors[starts[place] : starts[place + 1]] = hidden[at, asked(row, task)]
        count += len(batch)
        done(count, len(rows))


def _put_in_place(scratch: Path, target: Path) -> None:
    try:
        scratch.rename(target)
    except OSError:
        if not (target / _FILE).is_file():  # else another run was as fast, and made the same
            raise


def _check_space(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free - _SPARE_BYTES
    if needed > free:
        found = f"features need {needed / 1e9:.1f} GB, {max(free, 0) / 1e9:.1f} GB are free"
        cure = "name another disk with --cache, or train with --unfreeze"
        raise InvalidConfig([Fault(str(folder), found, cure)])
