"""Requests of texts to requests of token arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trivet.backend.contract import Answer, Batch, Rows
from trivet.errors import InvalidInput, ServeError
from trivet_backends.tokenizers.encoder import Encoder, Text, Tokens
from trivet_backends.tokenizers.fitting import Fit, fit_asked
from trivet_backends.tokenizers.targets import TARGET, Targets
from trivet_backends.tokenizers.tensors import Writer

TEXT = "TEXT"
TEXT_PAIR = "TEXT_PAIR"
TARGET_IDS = "target_ids"
QUICK_BYTES = 1024  # of all texts of a batch: at most 0.3 ms


class TokenizerInstance:
    """Answers each request by itself; only the encoding is done for all together.

    Input TEXT: BYTES [rows, 1], or [1] if the model does not batch; TEXT_PAIR, of the same shape:
    the second texts of pairs; TARGET, [rows, words]: the only candidates of masks. Request
    parameter `truncate` (bool): cut a text that is too long instead of refusing it; the others are
    those of `fit_asked`. The answers' parameters: `tokens` (of all rows, special tokens included),
    `truncated` (whether any row was) and, where windows are told, `windows`: how many there are,
    which is then the rows of the answer.
    """

    def __init__(
        self, encoder: Encoder, writer: Writer, fit: Fit, targets: Targets | None = None
    ) -> None:
        """fit: of texts whose request says nothing. targets: for a model with that output."""
        self._encoder = encoder
        self._fit = fit
        self._writer = writer
        self._targets = targets

    def execute(self, batch: Batch) -> list[Answer | ServeError]:
        read = [self._read(rows) for rows in batch.requests]
        batch.merged_ns = batch.now_ns()
        texts = [text for part in read if not isinstance(part, ServeError) for text in part]
        tokens = iter(self._encoder.encode(texts))
        batch.computed_ns = batch.now_ns()
        return [
            part
            if isinstance(part, ServeError)
            else self._answer(request, [next(tokens) for _ in part])
            for request, part in zip(batch.requests, read, strict=True)
        ]

    def is_quick(self, batch: Batch) -> bool:
        """A few short texts: 0.3 us per byte, 30 us for a sentence."""
        return sum(_bytes(request) for request in batch.requests) <= QUICK_BYTES

    def close(self) -> None:
        """Nothing is held but the artifact's."""

    def _read(self, request: Rows) -> list[Text] | ServeError:
        contents = request.inputs[TEXT].ravel()
        seconds = request.inputs[TEXT_PAIR].ravel() if TEXT_PAIR in request.inputs else None
        try:
            fit = fit_asked(request.parameters, self._fit)
            return [
                self._encoder.read(
                    content,
                    _place(row, len(contents)),
                    fit,
                    row=row,
                    pair=None if seconds is None else seconds[row],
                )
                for row, content in enumerate(contents)
            ]
        except InvalidInput as error:
            return error

    def _answer(
        self, request: Rows, found: Sequence[Sequence[Tokens] | ServeError]
    ) -> Answer | ServeError:
        rows: list[Tokens] = []
        for tokens in found:
            if isinstance(tokens, ServeError):
                return tokens
            rows += tokens
        try:
            self._check_windows(len(rows), len(found))
            outputs = dict(self._writer.outputs(rows))
            if self._targets:
                outputs[TARGET_IDS] = self._target_ids(self._targets, request)
        except InvalidInput as error:
            return error
        return Answer(
            outputs,
            {
                "tokens": sum(len(row.ids) for row in rows),
                "truncated": any(row.truncated for row in rows),
                **({"windows": len(rows)} if self._writer.tells_windows else {}),
            },
        )

    def _check_windows(self, windows: int, rows: int) -> None:
        """What comes next takes so many rows at once; without a batch dimension, one."""
        if windows > 1 and not self._writer.batches:
            raise InvalidInput(
                f"the text makes {windows} windows, and this model takes one row at a time"
                " (max_batch_size: 0); send long_text=truncate, or send it in parts"
            )
        if rows > 1 and windows > max(rows, self._fit.max_windows):
            raise InvalidInput(
                f"the {rows} texts of the request make {windows} windows and at most"
                f" {self._fit.max_windows} are computed at once; send fewer rows in a request"
            )

    def _target_ids(self, targets: Targets, request: Rows) -> np.ndarray:
        words = request.inputs.get(TARGET)
        if request.inputs[TEXT].ndim == 2:
            return targets.ids(words, len(request.inputs[TEXT]))
        (row,) = targets.ids(None if words is None else words[None], 1)
        return np.asarray(row)


def _bytes(request: Rows) -> int:
    return sum(sum(map(len, array.ravel())) for array in request.inputs.values())


def _place(row: int, rows: int) -> str:
    return f"row {row}: " if rows > 1 else ""
