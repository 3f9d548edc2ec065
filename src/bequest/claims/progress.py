"""What is seen while a claim runs: a line for each run that ended, a bar with the time left."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class RunsShown:
    """A bar over all runs of a claim, on standard error; silent when not `enabled`.

    Where the output is no terminal, the lines alone are printed.

    Args:
        total: Number of runs.
        enabled: Whether anything is shown.
    """

    def __init__(self, total: int, *, enabled: bool) -> None:
        self._console = Console(stderr=True, quiet=not enabled, highlight=False)
        self._bar = Progress(
            TextColumn("[bold]runs"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=not (enabled and self._console.is_terminal),
        )
        self._task = self._bar.add_task("runs", total=total)
        self._done, self._total = 0, total

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def kept(self, count: int) -> None:
        """So many runs are there from before."""
        self._done = count
        if count:
            self._console.print(f"{count} of {self._total} runs are kept from before")
            self._bar.update(self._task, completed=count)

    def ended(self, name: str, text: str, *, failed: bool = False) -> None:
        """One run ended, with `text` about how."""
        self._done += 1
        colour = "red" if failed else "default"
        self._console.print(
            f"[{self._done}/{self._total}] {name}: {text}",
            style=colour,
            markup=False,
            soft_wrap=True,
        )
        self._bar.update(self._task, completed=self._done)
