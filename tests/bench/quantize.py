"""The bars of 8-bit variants: size and meaning on the real MiniLM, speed on BERT-base's geometry.

    python -m tests.bench.quantize --texts FILE

FILE has one sentence a line, some 1,130 of them: 1,000 judge and 128 calibrate. What is compared
is made, run and timed by `trivet quantize` itself, the FP32 graph on ONNX Runtime in the same turn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.results import Row, at_least, heading, written
from tests.bench.setting import say
from tests.bench.subjects import Subject, bert_base, minilm
from trivet_backends.workshop.quantize.options import Publish, QuantizeOptions
from trivet_backends.workshop.quantize.quantize import quantize
from trivet_backends.workshop.quantize.report import Row as Made
from trivet_backends.workshop.quantize.report import ranked, table
from trivet_backends.workshop.quantize.variants import SOURCE, VARIANTS

SENTENCES, CALIBRATION = 1000, 128
TOKENS = 32
EIGHT_BIT = [variant for variant in VARIANTS.values() if variant.bits == 8 and not variant.missing]
SMALLER, FASTER, COSINE, NEIGHBOURS = 3.9, 2.2, 0.99, 0.95


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if no engine's variant reaches all bars."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quantize")
    parser.add_argument("--texts", type=Path, required=True, help="one sentence a line")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--variants", help="with commas (default: all of 8 bits that can be made)")
    parser.add_argument("--into", type=Path, help="the page (default: beside the others)")
    given = parser.parse_args(arguments)
    usual = [variant.name for variant in EIGHT_BIT if variant.name != "torch-int8"]
    names = given.variants.split(",") if given.variants else usual
    meaning = _made(minilm(), given.texts, names, SENTENCES, given.rounds)
    speed = _made(bert_base(), given.texts, names, 32, given.rounds)
    rows = [row for name in names for row in _rows(name, meaning, speed)]
    print(heading())
    for row in rows:
        print(row)
    page = given.into or Path(__file__).parent / "results" / "quantize.md"
    print(f"written: {written(rows, _notes(meaning, speed), page)}")
    return 0 if any(_reaches_all(name, rows) for name in names) else 1


def _made(
    subject: Subject, texts: Path, names: Sequence[str], sentences: int, rounds: int
) -> dict[str, Made]:
    """The rows of one run, by variant."""
    options = QuantizeOptions(
        model=subject.encoder,
        repository=subject.repository,
        variants=",".join(names),
        texts=texts,
        calibration=CALIBRATION if sentences > CALIBRATION else sentences,
        evaluation=sentences,
        lengths=(TOKENS,),
        rounds=rounds,
        publish=Publish.NONE,
    )
    outcome = quantize(options, lambda told: say(f"{subject.name}: {told}"))
    print(table(outcome.rows, outcome.metric), flush=True)
    return {row.variant.name: row for row in outcome.rows}


def _rows(name: str, meaning: dict[str, Made], speed: dict[str, Made]) -> list[Row]:
    small, quick = meaning[name], speed[name]
    if small.score is None or quick.score is None:
        return []
    base, slow = meaning[SOURCE.name], speed[SOURCE.name]
    details = small.score.details
    same = details["neighbour_unchanged"]
    speedup = slow.milliseconds[TOKENS] / quick.milliseconds[TOKENS]
    smaller = [(base, small, "MiniLM"), (slow, quick, "BERT-base")]
    return [
        *(
            Row(f"{name}: {of}, times smaller", [a.size_bytes / b.size_bytes], at_least(SMALLER))
            for a, b, of in smaller
        ),
        Row(f"{name}: BERT-base, {TOKENS} tokens, times as fast", [speedup], at_least(FASTER)),
        Row(f"{name}: MiniLM, mean cosine", [details["mean_cosine"]], at_least(COSINE)),
        Row(f"{name}: MiniLM, same neighbour", [same], at_least(NEIGHBOURS)),
    ]


def _reaches_all(name: str, rows: Sequence[Row]) -> bool:
    own = [row for row in rows if row.what.startswith(f"{name}:")]
    return bool(own) and all(row.mark == "PASS" for row in own)


def _notes(*runs: dict[str, Made]) -> list[str]:
    notes = ["made by `python -m tests.bench.quantize`; latencies are medians of turns"]
    for run in runs:
        for row in ranked(list(run.values())):
            times = ", ".join(f"{ms:.1f} ms" for ms in row.milliseconds.values())
            notes.append(f"{row.variant.name}: {row.size_bytes / 1e6:.1f} MB, {times}")
    return notes


if __name__ == "__main__":
    sys.exit(main())
