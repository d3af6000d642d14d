"""Load servers with everything at once, for long, and check every answer and what they hold.

`make soak` runs it for SOAK_SECONDS (1800) in all, a share for each transport under each way to
change models: by calls (explicit) and by files (poll). It ends with status 1 if an answer was
wrong, an error was not the right one, or memory, files or threads grow. The same seed draws the
same work for each caller; how callers meet is up to the machine.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from rich.console import Console

from tests.soak.report import showing, tell, write_json
from tests.soak.turn import CONTROL, Plan, take_turn
from trivet.transport.options import Transport

ROOT = Path(__file__).parents[2]
WIDE = 140  # columns
EXAMPLES = ROOT / "model_repository" / "examples"


def main() -> int:
    args = _parser().parse_args()
    console = Console(stderr=True)
    seed = random.randrange(2**32) if args.seed is None else args.seed
    transports = [Transport(args.transport)] if args.transport else list(Transport)
    turns = list(product(transports, [args.control] if args.control else list(CONTROL)))
    plans = [
        Plan(
            transport=transport,
            control=control,
            seconds=args.seconds / len(turns),
            callers=args.callers,
            seed=seed,
        )
        for transport, control in turns
    ]
    console.print(f"seed {seed}; {len(plans)} turns of {plans[0].seconds:.0f} s each", markup=False)
    build_examples(EXAMPLES)
    results = []
    with tempfile.TemporaryDirectory(prefix="trivet-soak-") as scratch:
        for number, plan in enumerate(plans):
            with showing(console) as show:
                results.append(take_turn(plan, Path(scratch) / str(number), EXAMPLES, show))
    tell(_printing(), results)
    if args.json:
        write_json(args.json, results)
    return 1 if any(result.faults for result in results) else 0


def _printing() -> Console:
    """Where tables go; a file or a pipe has no width, and takes whole rows."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def build_examples(folder: Path) -> None:
    """Bring the example repository up to date. Raises CalledProcessError if that fails."""
    command = [sys.executable, "-m", "trivet", "demo", "--build-only"]
    subprocess.run([*command, "--model-repository", str(folder)], cwd=ROOT, check=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=1800, help="in all (default: 1800)")
    parser.add_argument(
        "--transport", choices=[one.value for one in Transport], help="this one only"
    )
    parser.add_argument("--control", choices=list(CONTROL), help="this way only")
    parser.add_argument("--callers", type=int, default=24, help="at a time (default: 24)")
    parser.add_argument("--seed", type=int, help="of the work (default: another each time)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
