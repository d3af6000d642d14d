"""Requests of texts to requests of token arrays."""

from __future__ import annotations

from collections.abc import Sequence

from trivet.backend.contract import Answer, Batch, Rows
from trivet.errors import InvalidInput, ServeError
from trivet_backends.tokenizers.encoder import Encoder, Text, Tokens
from trivet_backends.tokenizers.tensors import Writer

TEXT = "TEXT"
QUICK_BYTES = 1024  # of all texts of a batch: at most 0.3 ms


class TokenizerInstance:
    """Answers each request by itself; only the encoding is done for all together.

    Input TEXT: BYTES [rows, 1], or [1] if the model does not batch. Request parameter `truncate`
    (bool): cut a text that is too long instead of refusing it. The answers' parameters: `tokens`
    (of all rows, special tokens included) and `truncated` (whether any row was).
    """

    def __init__(self, encoder: Encoder, writer: Writer) -> None:
        self._encoder = encoder
        self._writer = writer

    def execute(self, batch: Batch) -> list[Answer | ServeError]:
        read = [self._read(rows) for rows in batch.requests]
        batch.merged_ns = batch.now_ns()
        texts = [text for part in read if not isinstance(part, ServeError) for text in part]
        tokens = iter(self._encoder.encode(texts))
        batch.computed_ns = batch.now_ns()
        return [
            part
            if isinstance(part, ServeError)
            else self._answer(part, [next(tokens) for _ in part])
            for part in read
        ]

    def is_quick(self, batch: Batch) -> bool:
        """A few short texts: 0.3 us per byte, 30 us for a sentence."""
        return sum(_bytes(request) for request in batch.requests) <= QUICK_BYTES

    def close(self) -> None:
        """Nothing is held but the artifact's."""

    def _read(self, request: Rows) -> list[Text] | ServeError:
        contents = request.inputs[TEXT].ravel()
        truncate = request.parameters.get("truncate", False)
        if not isinstance(truncate, bool):
            return InvalidInput(f"parameter 'truncate' is {truncate!r}; send true or false")
        try:
            return [
                self._encoder.read(content, _place(row, len(contents)), truncate=truncate)
                for row, content in enumerate(contents)
            ]
        except InvalidInput as error:
            return error

    def _answer(
        self, texts: Sequence[Text], found: Sequence[Tokens | ServeError]
    ) -> Answer | ServeError:
        rows: list[Tokens] = []
        for tokens in found:
            if isinstance(tokens, ServeError):
                return tokens
            rows.append(tokens)
        try:
            outputs = self._writer.outputs(texts, rows)
        except InvalidInput as error:
            return error
        return Answer(
            outputs,
            {
                "tokens": sum(len(row.ids) for row in rows),
                "truncated": any(row.truncated for row in rows),
            },
        )


def _bytes(request: Rows) -> int:
    return sum(map(len, request.inputs[TEXT].ravel()))


def _place(row: int, rows: int) -> str:
    return f"row {row}: " if rows > 1 else ""
