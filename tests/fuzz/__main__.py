"""Fuzz every target for its share of the time, and say what was found.

`make fuzz` runs it for FUZZ_SECONDS (600) in all. What was learned is kept in build/fuzz and
begins the next run; bytes that broke something lie there as crash-*, and reproduce it with
`python -m tests.fuzz --only TARGET --bytes FILE`, which needs no atheris.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import calls
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[2] / "build" / "fuzz"

_RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERAGE = re.compile(r"cov: (\d+) ft: (\d+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one target's run came to. features: ways through the code that were told apart."""

    target: str
    runs: int
    features: int
    broken: Sequence[Path]


def main() -> int:
    args = _parser().parse_args()
    names = args.only or list(TARGETS)
    if args.bytes:
        for name in names:
            TARGETS[name](args.bytes.read_bytes())
        return 0
    share = max(1, args.seconds // len(names))
    outcomes = []
    for name in names:
        print(f"--- {name}: {share} s", flush=True)
        outcomes.append(_fuzz(name, share))
    print(f"\n{'target':<16}{'inputs':>12}{'features':>10}  broken")
    for outcome in outcomes:
        broken = ", ".join(path.name for path in outcome.broken) or "-"
        print(f"{outcome.target:<16}{outcome.runs:>12,}{outcome.features:>10,}  {broken}")
    return 1 if any(outcome.broken for outcome in outcomes) else 0


def _fuzz(name: str, seconds: int) -> Outcome:
    corpus, crashes = CORPUS / name, CORPUS / "broken" / name
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    before = set(crashes.iterdir())
    log = CORPUS / f"{name}.log"
    command = [
        *(sys.executable, "-m", "tests.fuzz.one", name),
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-artifact_prefix={crashes}/",
        str(corpus),
    ]
    with log.open("wb") as stream:
        ended = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, env=os.environ)
    text = log.read_text("utf-8", "replace")
    if ended.returncode:
        print(text[-3000:], file=sys.stderr)
    broken = sorted(set(crashes.iterdir()) - before)
    if ended.returncode and not broken:
        broken = [log]
    ways = _COVERAGE.findall(text)
    return Outcome(name, _number(_RUNS, text), int(ways[-1][1]) if ways else 0, broken)


def _number(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    return int(found[1]) if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=int, default=600, help="in all (default: 600)")
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), help="these targets")
    parser.add_argument("--bytes", type=Path, help="try the bytes of this file once, and no others")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        calls.close()
