"""How the demo looks: rich in a terminal, plain lines elsewhere; 80 columns are enough."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from trivet_client.commands.render import bar


class Display:
    """Prints to standard output."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._steps = 0

    def heading(self, text: str) -> None:
        """Begin the next numbered step."""
        self._steps += 1
        self._console.print(f"\n[bold cyan]{self._steps}  {escape(text)}[/]")

    def line(self, text: str, style: str = "") -> None:
        self._console.print(f"   {escape(text)}", style=style)

    def note(self, text: str) -> None:
        """A paragraph of explanation."""
        for line in textwrap.wrap(text, min(self._console.width, 100) - 3):
            self.line(line, "dim")

    def failure(self, what: str, tail: Sequence[str], cure: str) -> None:
        console = Console(stderr=True, highlight=False)
        for line in tail:
            console.print(f"  | {escape(line)}", style="dim", soft_wrap=True)
        console.print(f"trivet: error: {escape(what)}; {escape(cure)}", soft_wrap=True)

    @contextmanager
    def working(self, title: str) -> Iterator[Callable[[str], None]]:
        """While something takes its time: a spinner with a title, the time and a detail.

        Yields the function that changes the detail. Where there is no terminal nothing moves, and
        nothing is printed.
        """
        if not self._console.is_terminal:
            yield lambda _: None
            return
        progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", style="dim", table_column=Column(no_wrap=True)),
            console=self._console,
            transient=True,
        )
        with progress:
            task = progress.add_task(escape(title), total=None, detail="")
            yield lambda detail: progress.update(task, detail=escape(detail))

    def candidates(self, sentence: str, masks: Sequence[Sequence[tuple[str, float]]]) -> None:
        """A sentence, and under it what may stand in each of its masks, with probabilities."""
        self.line(sentence, "bold")
        rows = [
            (f"mask {number}" if len(masks) > 1 and rank == 0 else "", word, share)
            for number, mask in enumerate(masks, 1)
            for rank, (word, share) in enumerate(mask)
        ]
        table = self._grid("left", "left", "right", "left")
        for label, word, share in rows:
            table.add_row("", label, escape(word), f"{share:.1%}", f"[green]{self.bar(share)}[/]")
        self._console.print(table)

    def shares(self, rows: Sequence[tuple[str, float]]) -> None:
        """Texts, each with a number from 0 to 1 as a bar."""
        table = self._grid("right", "left", "left")
        for text, share in rows:
            table.add_row("", f"{share:.2f}", f"[green]{self.bar(share, 10)}[/]", escape(text))
        self._console.print(table)

    def rows(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """A name, a number and what it counts, per line."""
        table = self._grid("left", "right", "left")
        for name, number, unit in rows:
            table.add_row("", name, f"[bold]{escape(number)}[/]", escape(unit))
        self._console.print(table)

    def counts(self, heading: tuple[str, str], counts: Mapping[str, int]) -> None:
        """A histogram."""
        most = max(counts.values(), default=1)
        table = self._grid("right", "right", "left")
        table.add_row("", f"[dim]{heading[0]}[/]", f"[dim]{heading[1]}[/]", "")
        for name, count in counts.items():
            table.add_row("", name, str(count), f"[green]{self.bar(count / most)}[/]")
        self._console.print(table)

    def bar(self, share: float, width: int = 24) -> str:
        """A share from 0 to 1."""
        if self._console.options.ascii_only:
            return "#" * round(share * width)
        return bar(share, width)

    @staticmethod
    def _grid(*justify: Literal["left", "right"]) -> Table:
        """Columns behind an indentation; cells are markup."""
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(min_width=3)
        for side in justify:
            table.add_column(justify=side)
        return table
