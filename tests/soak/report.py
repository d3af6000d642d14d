"""What a run shows while it goes on, and tells when it is over."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from tests.soak.mix import WEIGHTS
from tests.soak.tally import Came, Tally
from tests.soak.turn import Plan, Result, Show
from tests.soak.watching import Line, Sample

LINE_EVERY_S = 10.0  # where there is no terminal to draw on


@contextmanager
def showing(console: Console) -> Iterator[Show]:
    """Give a function that shows a turn as it is now; on a terminal a table, else lines."""
    if not console.is_terminal:
        yield _Lines()
        return
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        yield lambda plan, tally, samples: live.update(_moment(plan, tally, samples))


def tell(console: Console, results: Sequence[Result]) -> None:
    """Tables of every turn, and whether it passed."""
    for result in results:
        console.print()
        console.print(calls_table(result.tally, result.seconds, result.plan.name))
        console.print(_figures_table(result.lines))
        for fault in result.faults:
            console.print(f"fault: {fault}", style="red", markup=False, soft_wrap=True)
        console.print(_verdict(result), style="bold", markup=False, soft_wrap=True)


def write_json(path: Path, results: Sequence[Result]) -> None:
    """Everything that was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([_as_json(result) for result in results], indent=1) + "\n")


def calls_table(tally: Tally, seconds: float, title: str) -> Table:
    """A row of each task and each meddler: what came of it, how fast, how long."""
    table = Table(title=title, title_justify="left")
    table.add_column("task")
    for came in Came:
        table.add_column(came.value, justify="right")
    for name in ("per s", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    meddled = sorted(tally.came.keys() - WEIGHTS.keys())
    for task in (*sorted(tally.came.keys() & WEIGHTS.keys()), *meddled):
        counts = tally.came[task]
        table.add_row(
            task,
            *(f"{counts[came]:,}" if counts[came] else "-" for came in Came),
            f"{counts.total() / seconds:.1f}",
            f"{tally.milliseconds(task, 50):.1f}",
            f"{tally.milliseconds(task, 99):.1f}",
            end_section=bool(meddled) and task == max(tally.came.keys() & WEIGHTS.keys()),
        )
    return table


def _figures_table(lines: Sequence[Line]) -> Table:
    table = Table(title="second half, by Theil and Sen's line", title_justify="left")
    table.add_column("figure")
    for name in ("first", "median", "highest", "slope per hour", "growth", "allowed"):
        table.add_column(name, justify="right")
    table.add_column("")
    for line in lines:
        verdict = ("flat" if line.flat else "GROWS") if line.judged else "not judged"
        table.add_row(
            f"{line.name} {line.unit}".strip(),
            f"{line.first:.0f}",
            f"{line.median:.0f}",
            f"{line.highest:.0f}",
            f"{line.per_hour:+.1f}",
            f"{line.growth:+.1f}",
            f"{line.allowed:.1f}",
            verdict,
        )
    return table


def _verdict(result: Result) -> str:
    tally = result.tally
    return (
        f"{result.plan.name}: {'FAILED' if result.faults else 'passed'}; "
        f"{tally.total():,} calls in {result.seconds:.0f} s, "
        f"{tally.total(Came.WRONG)} wrong answers, {tally.total(Came.FAILED)} wrong errors"
    )


def _moment(plan: Plan, tally: Tally, samples: Sequence[Sample]) -> Group | str:
    if not samples:
        return plan.name
    last = samples[-1]
    figures = "  ".join(f"{name} {value:.0f}" for name, value in last.figures.items())
    title = f"{plan.name}: {last.at_s:.0f} of {plan.seconds:.0f} s"
    return Group(calls_table(tally, max(last.at_s, 1), title), figures, *tally.faults[:5])


class _Lines:
    """A line now and then, on stderr."""

    def __init__(self) -> None:
        self._next_s = 0.0
        self._told = 0

    def __call__(self, plan: Plan, tally: Tally, samples: Sequence[Sample]) -> None:
        now_s = time.monotonic()
        if now_s < self._next_s or not samples:
            return
        self._next_s = now_s + LINE_EVERY_S
        figures = samples[-1].figures
        print(
            f"{plan.name}: {samples[-1].at_s:4.0f} s, {tally.total():,} calls, "
            f"{tally.total(Came.WRONG)} wrong, {tally.total(Came.FAILED)} failed; "
            f"{figures['rss']:.0f} MB, {figures['files']:.0f} files, "
            f"{figures['threads']:.0f} threads, {figures['children']:.0f} children",
            *(f"  {fault}" for fault in tally.faults[self._told :]),
            sep="\n",
            file=sys.stderr,
            flush=True,
        )
        self._told = len(tally.faults)


def _as_json(result: Result) -> dict[str, Any]:
    plan, tally = result.plan, result.tally
    return {
        "transport": plan.transport.value,
        "control": plan.control,
        "seed": plan.seed,
        "callers": plan.callers,
        "seconds": result.seconds,
        "passed": not result.faults,
        "faults": list(result.faults),
        "calls": {
            task: {
                **{came.value: counts[came] for came in Came},
                "p50_ms": tally.milliseconds(task, 50),
                "p99_ms": tally.milliseconds(task, 99),
            }
            for task, counts in sorted(tally.came.items())
        },
        "figures": {
            line.name: {
                "unit": line.unit,
                "per_hour": line.per_hour,
                "growth": line.growth,
                "allowed": line.allowed,
                "judged": line.judged,
                "flat": line.flat,
                "quiet_before": result.before[line.name],
                "quiet_after": result.after[line.name],
            }
            for line in result.lines
        },
        "samples": [{"at_s": sample.at_s, **sample.figures} for sample in result.samples],
    }
