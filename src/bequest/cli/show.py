"""`bequest show`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from bequest import catalog, declaration
from bequest.cli.command import NO_DEFAULT, Command, console, write_json, write_paragraphs


@dataclass(frozen=True, kw_only=True)
class ShowMethod(Command):
    """Shows one method: paper, what it does, hyper-parameters, and what its study claims.

    Example:
      $ bequest show ssd-kd
    """

    method: Positional[str]
    """An id of `bequest list`."""
    json: Annotated[bool, NO_DEFAULT] = False
    """One object for machines instead of text."""

    def execute(self) -> int:
        """Prints the page."""
        entry = catalog.find(self.method)
        fields = declaration.fields(entry)
        claims = declaration.claims(entry)
        text = declaration.docstring(entry)
        if self.json:
            described = {"fields": [asdict(one) for one in fields], "claims": claims}
            write_json({**asdict(entry), "description": text, **described})
            return 0
        out = console()
        out.print(Text.assemble((entry.name, "bold"), f"  ({entry.id}, family {entry.family})"))
        out.print(Text(entry.summary), "", sep="\n")
        if entry.paper:
            out.print(Text(str(entry.paper)), "", sep="\n")
        write_paragraphs(text)
        out.print(_fields(fields), "", sep="\n")
        if claims:
            out.print(_claims(claims), "", sep="\n")
        out.print(Text("Source ", style="bold").append(entry.method.split(":")[0], style=""))
        for command in (f"bequest run {entry.id} --size smoke", f"bequest claim {entry.id}"):
            out.print(Text("Try    ", style="bold").append(command, style="cyan"))
        return 0


def _fields(fields: list[declaration.Field]) -> Table:
    table = _table("Hyper-parameters", "name", "type", "default", "meaning")
    for one in fields:
        option = Text(f"--{one.name.replace('_', '-')}", style="cyan")
        table.add_row(option, Text(one.annotation), Text(str(one.default)), Text(one.doc))
    return table


def _claims(claims: list[dict[str, Any]]) -> Table:
    table = _table("Claims", "id", "arms", "sentence")
    for one in claims:
        arms = f"{one.get('better', '?')} over {one.get('than', '?')}"
        table.add_row(
            Text(str(one.get("id", "?")), style="cyan"),
            Text(arms),
            Text(str(one.get("sentence", ""))),
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, title=f"[bold]{title}", title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
