"""The bare engine: tokenizer and ONNX Runtime called in process, batched as well as can be.

What a server can be compared with: no socket, no scheduler, all texts known beforehand.

    python -m trivet_backends.onnxruntime.bare --model FOLDER --tokenizer FOLDER

reads one JSON object per line and answers each with one:

    {"search": [texts]}  {"split": text}, the best batching and thread split, kept from then on
    {"embed": [texts]}   {"seconds": number, "tokens": number}
    {"alone": [texts]}   {"milliseconds": [numbers]}, one by one with all cores

What fails is answered with {"error": text}.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Encoding, Tokenizer

BATCH_TOKENS = (64, 128, 256, 512)
# The search on BERT-base and 512 texts would take 5 minutes on 2 cores without a first look at
# every fourth text. A part of less than 64 texts would say little.
SAMPLED, SAMPLE_LEAST = 4, 64
FINALISTS = 2


@dataclass(frozen=True)
class Split:
    """How the cores are used: so many workers of so many threads, batches of so many tokens."""

    workers: int
    threads: int
    max_batch_tokens: int

    def __str__(self) -> str:
        return f"{self.workers} x {self.threads} threads, {self.max_batch_tokens} tokens"


def splits(cores: int) -> list[Split]:
    """Every way to use all cores evenly, with every size of batch."""
    return [
        Split(workers, cores // workers, tokens)
        for workers in range(1, cores + 1)
        if cores % workers == 0
        for tokens in BATCH_TOKENS
    ]


class BareEngine:
    """One embedding model, opened once per thread count; texts in, embeddings out."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        self._model = model
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._sessions: dict[int, ort.InferenceSession] = {}

    def embed(self, texts: Sequence[str], split: Split) -> np.ndarray:
        """FP32 [texts, width], in the order of the texts."""
        encodings = self._tokenizer.encode_batch(list(texts))
        # The longest first: short ones at the end keep all workers busy until it comes.
        batches = [*_sorted_batches([len(e) for e in encodings], split.max_batch_tokens)][::-1]
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
        """The fastest on these texts: all are tried on a part of them, the best two on all."""
        some = texts[:: max(1, min(SAMPLED, len(texts) // SAMPLE_LEAST))]
        tried = sorted(splits(cores()), key=lambda split: self._best_of_two(some, split))
        return min(tried[:FINALISTS], key=lambda split: self._best_of_two(texts, split))

    def _best_of_two(self, texts: Sequence[str], split: Split) -> float:
        return min(self.seconds(texts, split) for _ in range(2))

    def seconds(self, texts: Sequence[str], split: Split) -> float:
        """How long one run takes."""
        started = time.perf_counter()
        self.embed(texts, split)
        return time.perf_counter() - started

    def tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the texts have, [CLS] and [SEP] counted."""
        return sum(map(len, self._tokenizer.encode_batch(list(texts))))

    def _session(self, threads: int) -> ort.InferenceSession:
        if threads not in self._sessions:
            options = ort.SessionOptions()
            options.intra_op_num_threads = threads
            self._sessions[threads] = ort.InferenceSession(str(self._model), options)
        return self._sessions[threads]


def cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0))


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


class Answers:
    """What each question of the protocol is answered with."""

    def __init__(self, engine: BareEngine) -> None:
        self._engine = engine
        self._split: Split | None = None

    def answer(self, question: dict[str, list[str]]) -> dict[str, object]:
        match question:
            case {"search": texts}:
                self._split = self._engine.best_split(texts)
                return {"split": str(self._split)}
            case {"embed": texts}:
                self._split = self._split or self._engine.best_split(texts)
                seconds = self._engine.seconds(texts, self._split)
                return {"seconds": seconds, "tokens": self._engine.tokens(texts)}
            case {"alone": texts}:
                self._alone_ms(texts[0])  # opens the session
                return {"milliseconds": [self._alone_ms(text) for text in texts]}
        return {"error": f"asked {sorted(question)}, but it knows search, embed and alone"}

    def _alone_ms(self, text: str) -> float:
        started = time.perf_counter()
        self._engine.embed_one(text, cores())
        return (time.perf_counter() - started) * 1e3


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name if __spec__ else __name__}")
    parser.add_argument("--model", type=Path, required=True, help="folder with model.onnx")
    parser.add_argument("--tokenizer", type=Path, required=True, help="with tokenizer.json")
    args = parser.parse_args()
    answers = Answers(BareEngine(args.model / "model.onnx", args.tokenizer / "tokenizer.json"))
    for line in sys.stdin:
        try:
            answer = answers.answer(json.loads(line))
        except Exception as error:  # the engine's exceptions share no base but this
            answer = {"error": " ".join(str(error).split())}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
