"""From the words of the command line to an exit status."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

import bequest
from bequest.cli.command import CRASH, ERROR, STOPPED, Command, console, parse, say
from bequest.errors import BequestError, StoppedError, unknown

# Name, where it is, what it does. Only the module of the command that is given is imported.
COMMANDS: dict[str, tuple[str, str]] = {
    "list": ("bequest.cli.listing:ListMethods", "what there is: all methods by family"),
    "show": ("bequest.cli.show:ShowMethod", "one method: paper, hyper-parameters, claims"),
    "run": ("bequest.cli.run:RunStudy", "run a method on the data of its study"),
    "claim": ("bequest.cli.claim:CheckClaims", "does the paper's claim hold? runs over seeds"),
    "distill": (
        "bequest.cli.distill:Distill",
        "a smaller network from yours, with or without data",
    ),
    "compress": ("bequest.cli.compress:Compress", "prune your network, heal it without its data"),
    "report": ("bequest.cli.report:WriteReport", "write the report of a run or claim again"),
    "resume": ("bequest.cli.resume:Resume", "go on with a run that was stopped"),
    "export": ("bequest.cli.export:ExportModel", "the network of a run as one file to use"),
    "data list": ("bequest.cli.data:ListData", "all data sets that have a name"),
    "data info": ("bequest.cli.data:ShowData", "one data set: sizes, classes, licence, source"),
    "data get": ("bequest.cli.data:GetData", "fetch a data set into the cache folder"),
}

_FIRST = (
    ("bequest list", "which methods there are"),
    ("bequest run ssd-kd --size smoke", "one of them, on small digits, in seconds"),
    ("bequest distill --help", "your own network: what to say, with an example"),
)
_STATUSES = (
    "Exit status: 0 done; for claims 0 holds, 1 fails, 2 undecided; "
    f"{ERROR} something given cannot be used; {CRASH} a defect of Bequest; "
    f"{STOPPED} stopped by Ctrl-C, with a checkpoint.\n"
    "With --debug, errors show where they come from."
)
# Idle threads that spin take the cores from whoever shares them. Read when torch is imported.
_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
# What the machine refuses, not what is wrong with the code: no traceback helps.
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The words after `bequest`; None takes those of this process.

    Returns:
        The exit status. Errors on purpose are one message on standard error; others are shown
        with their traceback, and none gives a status that a claim's verdict has.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    given = list(sys.argv[1:] if argv is None else argv)
    words = [word for word in given if word != "--debug"]
    try:
        return _dispatch(words)
    except SystemExit as stop:
        # The parser's way out: 0 after help, 2 after words that it cannot take.
        return 0 if stop.code in (0, None) else ERROR
    except (StoppedError, KeyboardInterrupt) as error:
        console(stderr=True).print(Text(str(error) or "Stopped.", "bold yellow"), soft_wrap=True)
        return STOPPED
    except BrokenPipeError:
        # Whoever read our output (`bequest list | head`) has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (BequestError, OSError) as error:
        expected = isinstance(error, BequestError) or error.errno in _MACHINE
        if "--debug" in given or not expected:
            traceback.print_exc()
        else:
            say("Error:", error, stderr=True, style="bold red")
        return ERROR if expected else CRASH
    except Exception:
        traceback.print_exc()
        return CRASH


def _dispatch(words: Sequence[str]) -> int:
    match list(words):
        case [] | ["-h" | "--help"] | ["help"]:
            return _overview()
        case ["--version", *_]:
            console().print(f"bequest {bequest.__version__}")
            return 0
        case ["data"] | ["data", "-h" | "--help"]:
            _table({name: row for name, row in COMMANDS.items() if name.startswith("data ")})
            return 0
        case ["data", second, *rest]:
            name = f"data {second}"
        case [name, *rest]:
            pass
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    return parse(name, _load(name), rest).execute()


def _load(name: str) -> type[Command]:
    module, attribute = COMMANDS[name][0].split(":")
    command: type[Command] = getattr(importlib.import_module(module), attribute)
    return command


def _overview() -> int:
    out = console()
    out.print(
        f"[bold]Bequest {bequest.__version__}[/] moves what a trained network knows to another "
        "network, above all when the data it was trained on is gone.\n\n[bold]Try first[/]"
    )
    _table({line: ("", meaning) for line, meaning in _FIRST}, prefix="")
    out.print("\n[bold]Commands[/], each with --help and an example")
    _table(COMMANDS)
    out.print(f"\n{_STATUSES}")
    return 0


def _table(rows: Mapping[str, tuple[str, str]], *, prefix: str = "bequest ") -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for name, (_, summary) in rows.items():
        table.add_row(f"  {prefix}{name}", summary)
    console().print(table)
