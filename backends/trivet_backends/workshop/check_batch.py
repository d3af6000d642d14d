"""The batch a graph is checked with: sentences in the shapes that have broken graphs before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trivet_backends.workshop.bert_config import BertConfig

# Plain English of mixed length: a dynamic INT8 graph's error on random ids says little about text.
_SENTENCES = (
    "The president of the United States spoke to congress about the state of the union today.",
    "He opened the door.",
    "The movie was absolutely wonderful, and I would gladly see it again with my friends.",
    "Thank you very much for your letter of the third, which reached me only this morning, as the "
    "post was late again; I shall answer all of your questions when I am back in the city.",
    "Snow fell all night.",
    "A good book is a good friend, and a good friend is hard to find in the winter.",
    "The old ship left the harbour at dawn with forty men and food for half a year on board.",
    "Where do we go from here?",
)
_LEFT_PADDED, _WITH_HOLES = 4, 6  # rows; the first is short, so that there is room


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckBatch:
    """tokens: input_ids, attention_mask, token_type_ids, int64 [batch, tokens];
    mask_positions: int64 [batch, 2], -1 where a row has no second mask."""

    tokens: Mapping[str, np.ndarray]
    mask_positions: np.ndarray


def check_batch(tokenizer_file: Path, config: BertConfig, mask_token_id: int | None) -> CheckBatch:
    """Make the batch for one model; rows are cut to what it can hold.

    mask_token_id: put in where mask_positions points; None leaves the sentences as they are.
    """
    rows = _token_ids(tokenizer_file, config.max_positions)
    shape = (len(rows), max(map(len, rows)))
    ids = np.full(shape, config.pad_token_id, np.int64)
    mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    positions = np.full((len(rows), 2), -1, np.int64)
    for row, row_ids in enumerate(rows):
        start = shape[1] - len(row_ids) if row == _LEFT_PADDED else 0
        here = slice(start, start + len(row_ids))
        ids[row, here], mask[row, here] = row_ids, 1
        middle = start + len(row_ids) // 2
        types[row, middle : here.stop] = config.type_vocab_size - 1
        positions[row, 0] = middle
        if row % 2:
            positions[row, 1] = start + len(row_ids) // 3
    mask[_WITH_HOLES, 1::3] = 0
    if mask_token_id is not None:
        with_mask, _ = np.nonzero(positions >= 0)
        ids[with_mask, positions[positions >= 0]] = mask_token_id
    tokens = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    return CheckBatch(tokens=tokens, mask_positions=positions)


def _token_ids(tokenizer_file: Path, max_positions: int) -> Sequence[Sequence[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # A tokenizer may make nothing of English; a row needs a token all the same.
    return [encoding.ids[:max_positions] or [0] for encoding in tokenizer.encode_batch(_SENTENCES)]
