"""A mark for tests that train, and small files to learn from."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.harness.toolchains import needs
from trivet.cli import main

needs_finetune = needs("finetune")


def trained(*arguments: str | Path) -> int:
    """`trivet finetune` in this process, on one thread; returns the exit status.

    Sums depend on how many threads share them, and accelerate keeps a state per process that the
    next run must not find.
    """
    import torch
    from accelerate.state import AcceleratorState, GradientState

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return main(["finetune", "--max-tokens=40", "--cpu", *map(str, arguments)])
    finally:
        torch.set_num_threads(threads)
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()


# A text's label can be told from its letters.
_LETTERS = {"low": "abcdef", "high": "uvwxyz"}


def write_labelled(path: Path, count: int, seed: int = 0) -> Path:
    """CSV with text and label, "low" and "high" in turn; one word of letters of its own each."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(count):
            label = ("low", "high")[number % 2]
            letters = rng.choice(list(_LETTERS[label]), int(rng.integers(3, 9)))
            writer.writerow([" ".join(letters), label])
    return path


def write_tagged(path: Path, count: int, seed: int = 0) -> Path:
    """CoNLL: words of high letters are names."""
    rng, lines = np.random.default_rng(seed), []
    for _ in range(count):
        for _ in range(int(rng.integers(2, 6))):
            label = ("low", "high")[int(rng.integers(2))]
            word = "".join(rng.choice(list(_LETTERS[label]), 3))
            lines.append(f"{word} {'B-NAME' if label == 'high' else 'O'}")
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def write_asked(path: Path, count: int, seed: int = 0) -> Path:
    """JSONL: the answer is the passage's one word of high letters; of every fifth there is none."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        words = ["".join(rng.choice(list(_LETTERS["low"]), 2)) for _ in range(6)]
        answer = "".join(rng.choice(list(_LETTERS["high"]), 2)) if number % 5 else ""
        words[int(rng.integers(6))] = answer or "ab"
        rows.append({"question": "what?", "passage": " ".join(words), "answer": answer})
    return write_json_lines(path, rows)


def write_json_lines(path: Path, rows: Sequence[object]) -> Path:
    """One JSON value a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
