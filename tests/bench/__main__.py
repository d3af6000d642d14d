"""Measure the server against its own engine and against simpler servers, as ratios within one run.

All contestants run in turn within each round, and ratios are taken round by round, because the
speed of a shared machine drifts. Each row tells the median and the range of its rounds, and whether
the median passes the bar. A whole run takes about a quarter of an hour on 2 cores, and writes its
table into tests/bench/results; --only, --subject, --texts and --rounds make a shorter run, whose
table is printed and not kept unless --into names a file.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench import alone, eight_bit, memory, open_loop, reloads, scheduling, start, throughput
from tests.bench.results import Row, heading, written
from tests.bench.setting import Setting, say
from tests.bench.subjects import SUBJECTS

PARTS: Mapping[str, Callable[[Setting], list[Row]]] = {
    "start": start.rows,
    "scheduling": scheduling.rows,
    "alone": alone.rows,
    "throughput": throughput.rows,
    "openvino": eight_bit.rows,
    "memory": memory.rows,
    "reloads": reloads.rows,
    "open_loop": open_loop.rows,
}
TEXTS = 512


def main() -> None:
    args = _parser().parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        say("building what is not up to date")
        setting = Setting(
            subjects=[SUBJECTS[name]() for name in args.subject or SUBJECTS],
            count=args.texts,
            rounds=args.rounds,
            scratch=Path(scratch),
        )
        setting.notes.append(f"setting: {setting.count} texts, {setting.tokens} tokens")
        rows = []
        for name in args.only or PARTS:
            say(f"--- {name}")
            rows += PARTS[name](setting)
    print("", heading(), *rows, "", *setting.notes, sep="\n")
    whole = not (args.only or args.subject or args.rounds) and args.texts == TEXTS
    if whole or args.into:
        print(f"\nwritten to {written(rows, setting.notes, args.into)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be repeated")
    parser.add_argument("--subject", choices=SUBJECTS, action="append", help="a model, as --only")
    parser.add_argument("--texts", type=int, default=TEXTS, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="of every part (default: its own number)")
    parser.add_argument("--into", metavar="FILE.md", type=Path, help="keep the table there")
    return parser


if __name__ == "__main__":
    main()
