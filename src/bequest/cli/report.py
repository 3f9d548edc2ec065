"""`bequest report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from bequest.cli.command import Command, say
from bequest.errors import InputError


@dataclass(frozen=True, kw_only=True)
class WriteReport(Command):
    """Writes the report of a run or claim again: one HTML page that needs nothing beside it.

    Every run ends with its report; this is for runs that were stopped or moved.

      In:   the folder of a run or claim
      Out:  report.html in it

    Example:
      $ bequest report runs/ssd-kd-smoke
    """

    folder: Positional[Path]
    """What `bequest run`, `claim`, `distill` or `resume` named as its folder."""

    def execute(self) -> int:
        """Writes it and says where."""
        if not self.folder.is_dir():
            raise InputError(f"There is no folder '{self.folder}'; give the folder of a run.")
        from bequest.report import write_report

        say("Report:", write_report(self.folder))
        return 0
