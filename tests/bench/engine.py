"""The bare engine: tokenizer and ONNX Runtime called in process, batched as well as can be."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Encoding, Tokenizer


@dataclass(frozen=True)
class Split:
    """How the cores are used: so many workers of so many threads, batches of so many tokens."""

    workers: int
    threads: int
    max_batch_tokens: int

    def __str__(self) -> str:
        return f"{self.workers} x {self.threads} threads, {self.max_batch_tokens} tokens"


SPLITS = tuple(
    Split(workers, threads, tokens)
    for workers, threads in ((1, 2), (2, 1))
    for tokens in (64, 128, 256, 512)
)


class BareEngine:
    """One model, opened once per thread count; texts in, embeddings out."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        self._model = model
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._sessions: dict[int, ort.InferenceSession] = {}

    def embed(self, texts: Sequence[str], split: Split) -> np.ndarray:
        """FP32 [texts, width], in the order of the texts."""
        encodings = self._tokenizer.encode_batch(list(texts))
        batches = list(_sorted_batches([len(e) for e in encodings], split.max_batch_tokens))
        session = self._session(split.threads)

        def compute(batch: list[int]) -> np.ndarray:
            return _run(session, [encodings[index] for index in batch])

        with ThreadPoolExecutor(split.workers) as pool:
            computed = list(pool.map(compute, batches))
        rows = np.concatenate(computed)
        ordered = np.empty_like(rows)
        ordered[np.concatenate(batches)] = rows
        return ordered

    def embed_one(self, text: str, threads: int) -> np.ndarray:
        """FP32 [1, width]: tokenize and compute, nothing else."""
        return _run(self._session(threads), [self._tokenizer.encode(text)])

    def best_split(self, texts: Sequence[str]) -> Split:
        """The fastest of SPLITS on these texts, by the better of two runs each."""
        return min(SPLITS, key=lambda split: min(self.seconds(texts, split) for _ in range(2)))

    def seconds(self, texts: Sequence[str], split: Split) -> float:
        """How long one run takes."""
        started = time.perf_counter()
        self.embed(texts, split)
        return time.perf_counter() - started

    def _session(self, threads: int) -> ort.InferenceSession:
        if threads not in self._sessions:
            options = ort.SessionOptions()
            options.intra_op_num_threads = threads
            self._sessions[threads] = ort.InferenceSession(str(self._model), options)
        return self._sessions[threads]


def _sorted_batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > max_tokens:
            yield batch
            batch = []
        batch.append(index)
    yield batch


def _run(session: ort.InferenceSession, encodings: Sequence[Encoding]) -> np.ndarray:
    longest = max(map(len, encodings))
    ids = np.zeros((len(encodings), longest), np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding)] = encoding.ids
        mask[row, : len(encoding)] = 1
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    computed: np.ndarray = session.run(["embedding"], feeds)[0]
    return computed
