"""`bequest data list`, `info` and `get`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from bequest.cli.command import NO_DEFAULT, Command, console, say, write_json
from bequest.data.beyond_images import BEYOND_IMAGES, read
from bequest.data.catalog import names
from bequest.data.presence import describe, get


@dataclass(frozen=True, kw_only=True)
class ListData(Command):
    """Lists the data sets that have a name, and which of them are here already.

    A name is what `bequest distill --evaluate` takes; `folder:PATH` is a folder of your own. Sets
    that are no images follow: studies read them by themselves.

    Example:
      $ bequest data list
    """

    json: Annotated[bool, NO_DEFAULT] = False
    """The sets of images as a list of objects for machines instead of tables."""

    def execute(self) -> int:
        """Prints the table."""
        rows = [describe(name) for name in names()]
        if self.json:
            write_json(rows)
            return 0
        table = Table(box=None, pad_edge=False)
        for column in ("name", "images", "size", "classes", "here", "what it is"):
            table.add_column(column, no_wrap=column != "what it is")
        for row in rows:
            table.add_row(
                Text(row["name"], style="cyan"),
                f"{row['train']} + {row['test']}",
                _size(row),
                str(len(row["class_names"])),
                "yes" if row["present"] else "no",
                Text(row["summary"]),
            )
        console().print(table)
        others = Table(box=None, pad_edge=False, show_header=False)
        for entry in BEYOND_IMAGES.values():
            others.add_row(Text(entry.name, style="cyan"), entry.kind, Text(entry.summary))
        console().print("\nNot images:", others)
        return 0


@dataclass(frozen=True, kw_only=True)
class ShowData(Command):
    """Shows one data set: sizes, classes, normalisation, licence, source, and where it is.

    Nothing is downloaded for it.

    Example:
      $ bequest data info mnist5k
    """

    name: Positional[str]
    """A name of `bequest data list`, or folder:PATH."""
    json: Annotated[bool, NO_DEFAULT] = False
    """One object for machines instead of text."""

    def execute(self) -> int:
        """Prints what is known."""
        if self.name in BEYOND_IMAGES:
            return self._beyond_images()
        known = describe(self.name)
        if self.json:
            write_json(known)
            return 0
        shown = {
            "name": known["name"],
            "what": known["summary"],
            "images": f"{known['train']} for training, {known['test']} for tests, {_size(known)}",
            "classes": f"{len(known['class_names'])}: {', '.join(known['class_names'])}",
            "mean": " ".join(map(str, known["mean"])),
            "std": " ".join(map(str, known["std"])),
            "mirrored": "a mirrored image keeps its class" if known["mirrored"] else "no",
            "licence": known["licence"],
            "source": known["source"],
            "here": f"yes, {known['place']}" if known["present"] else "no",
        }
        if known["advice"]:
            shown["get it"] = known["advice"]
        _print(shown)
        return 0

    def _beyond_images(self) -> int:
        entry = BEYOND_IMAGES[self.name]
        shown = {
            "name": entry.name,
            "kind": entry.kind,
            "what": entry.summary,
            "licence": entry.licence,
            "source": entry.source,
            "read by": entry.reader,
        }
        if self.json:
            write_json(shown)
        else:
            _print(shown)
        return 0


@dataclass(frozen=True, kw_only=True)
class GetData(Command):
    """Fetches a data set into the cache folder, checked by its hash; BEQUEST_CACHE moves it.

    Data sets that are inside an installed package need no fetching.

    Example:
      $ bequest data get cifar10
    """

    name: Positional[str]
    """A name of `bequest data list`."""

    def execute(self) -> int:
        """Fetches it and says where it is."""
        if self.name in BEYOND_IMAGES:
            say("Here:", read(self.name))
            return 0
        for path in get(self.name):
            say("Here:", path)
        return 0


def _print(shown: dict[str, str]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in shown.items():
        table.add_row(label, Text(str(text)))
    console().print(table)


def _size(row: dict[str, Any]) -> str:
    return "x".join(str(length) for length in row["image_size"])
