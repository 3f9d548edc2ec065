"""What all commands share: how one is declared, parsed and heard.

A command is a frozen dataclass: its fields are the options, the text under each is the help, its
docstring is what `--help` begins with. The parser is tyro, because it makes options, checks and
help out of exactly that, so that nothing is said twice; it imports no torch.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import tyro
from rich.console import Console
from rich.text import Text

ERROR = 64
"""Exit status of every error on purpose; apart from 0, 1 and 2, which are verdicts of a claim."""
CRASH = 70
"""Exit status of an error that nobody foresaw."""
STOPPED = 130
"""Exit status after Ctrl-C."""

_MARKERS = (
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.DisallowNone,
    tyro.conf.PositionalMetavarFromFieldName,
)


NO_DEFAULT = tyro.conf.arg(help_behavior_hint="")
"""For an option whose default (nothing, off) needs no word in the help."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of the command line."""

    @classmethod
    def for_words(cls, words: Sequence[str]) -> type[Self]:
        """The class with all options that these words may set; most commands need no look."""
        del words
        return cls

    def execute(self) -> int:
        """Does it; gives the exit status."""
        raise NotImplementedError


def parse(name: str, command: type[Command], words: Sequence[str]) -> Command:
    """The command with its options from the words after its name.

    Raises:
        SystemExit: After printing help (0) or what is wrong with the words (2).
    """
    complete = command.for_words(words)
    if "-h" in words or "--help" in words:
        write_paragraphs(inspect.cleandoc(command.__doc__ or ""))
        words = ["--help"]  # the parser's help leaves out what the words have set
    return tyro.cli(
        complete, prog=f"bequest {name}", description="", args=list(words), config=_MARKERS
    )


def write_paragraphs(text: str) -> None:
    """Text as wide as the terminal; indented lines and lists as they are, commands in cyan.

    (Rendering it as Markdown would cost 0.1 CPU seconds of imports.)
    """
    out = console()
    for paragraph in text.split("\n\n"):
        lines = paragraph.split("\n")
        fixed = [line.startswith((" ", "- ", "* ")) for line in lines]
        flowing = fixed.index(True) if True in fixed else len(lines)
        if flowing:
            out.print(Text(" ".join(lines[:flowing])))
        typed = any(line.lstrip().startswith("$") for line in lines)
        for line in lines[flowing:]:
            out.print(Text(line, style="cyan" if typed else ""), soft_wrap=True)
        out.print()


def is_main_process() -> bool:
    """True in the one process that speaks, also under `accelerate launch`."""
    return os.environ.get("RANK", "0") == "0"


def console(*, stderr: bool = False) -> Console:
    """Where people read; silent in all processes but the first."""
    return Console(stderr=stderr, highlight=False, quiet=not is_main_process())


def say(label: str, text: object, *, stderr: bool = False, style: str = "bold") -> None:
    """One line `label text`, never broken, so that paths and commands can be copied."""
    line = Text.assemble((f"{label} ", style), str(text))
    console(stderr=stderr).print(line, soft_wrap=True)


def write_json(value: Any) -> None:
    """For machines, on standard output."""
    if is_main_process():
        sys.stdout.write(json.dumps(value, indent=2) + "\n")
