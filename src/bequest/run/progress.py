"""A progress bar with the time left and the newest figures."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bar:
    """One bar for one phase; drawn at most five times a second, silent when not `enabled`.

    Where the output is no terminal (a log file), it prints a line every 30 seconds instead.
    """

    def __init__(self, name: str, total: int, start: int, *, enabled: bool) -> None:
        self._name, self._total, self.enabled = name, total, enabled
        self._next = 0.0
        self._progress: Progress | None = None
        self._console = Console(stderr=True) if enabled else None
        if self._console is not None and self._console.is_terminal:
            columns = (
                TextColumn("[bold]{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
            )
            self._progress = Progress(*columns, console=self._console, transient=False)
            self._task = self._progress.add_task(name, total=total, completed=start, figures="")
            self._progress.start()

    def update(self, step: int, figures: dict[str, float]) -> None:
        """Shows `step` of the total, with the newest `figures`."""
        now = time.monotonic()
        if self._console is None or now < self._next:
            return
        text = "  ".join(f"{name} {value:.4g}" for name, value in list(figures.items())[-4:])
        if self._progress is not None:
            self._next = now + 0.2
            self._progress.update(self._task, completed=step, figures=text)
        else:
            self._next = now + 30.0
            self._console.print(f"{self._name} {step}/{self._total}  {text}")

    def close(self, step: int) -> None:
        """Draws the last state and lets the terminal go."""
        if self._progress is not None:
            self._progress.update(self._task, completed=step)
            self._progress.stop()
