"""`bequest list`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from rich.table import Table

from bequest import catalog
from bequest.cli.command import NO_DEFAULT, Command, console, write_json
from bequest.errors import unknown


@dataclass(frozen=True, kw_only=True)
class ListMethods(Command):
    """Lists all methods by family: ours and those of installed plug-ins.

    Example:
      $ bequest list --family data_free
    """

    family: Annotated[str | None, NO_DEFAULT] = None
    """Only this family, for example data_free."""
    json: Annotated[bool, NO_DEFAULT] = False
    """A list of objects for machines instead of a table."""

    def execute(self) -> int:
        """Prints the table."""
        rows = list(catalog.methods().values())
        families = dict.fromkeys(row.family for row in rows)
        if self.family is not None:
            if self.family not in families:
                raise unknown("family", self.family, families)
            rows = [row for row in rows if row.family == self.family]
        if self.json:
            write_json([asdict(row) for row in rows])
            return 0
        out = console()
        for family in dict.fromkeys(row.family for row in rows):
            table = Table(box=None, title=f"[bold]{family}", title_justify="left", pad_edge=False)
            table.add_column("method", style="cyan", no_wrap=True)
            table.add_column("published", no_wrap=True)
            table.add_column("what it does")
            for row in (row for row in rows if row.family == family):
                published = f"{row.paper.venue} {row.paper.year}" if row.paper else "control"
                table.add_row(row.id, published, row.summary)
            out.print(table)
        out.print("\n[dim]bequest show METHOD tells more; bequest run METHOD runs it.[/]")
        return 0
