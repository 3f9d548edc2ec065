"""What `run`, `distill` and `resume` share: where a run is, how it goes, what is said of it."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.table import Table

from bequest.cli.command import NO_DEFAULT, console, is_main_process, say, write_json
from bequest.errors import InputError, StoppedError

_Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a run is driven; nothing here changes its outcome."""

    trackers: Annotated[tuple[str, ...], NO_DEFAULT] = ()
    """Where figures go besides the folder: tensorboard, wandb, mlflow."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints; 0 writes one after each step."""
    json: Annotated[bool, NO_DEFAULT] = False
    """The figures as one object for machines on standard output; all else on standard error."""


@dataclass(frozen=True, kw_only=True)
class NewExecution(Execution):
    """Where a new run is written, and what it runs on."""

    seed: int = 0
    """Decides every random draw."""
    folder: Annotated[Path | None, NO_DEFAULT] = None
    """Where the run is written; without it a new folder in runs/."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    precision: _Precision = "auto"
    """auto is bf16 where the hardware is good at it."""
    threads: int = 0
    """Of the processor; 0 measures for a moment whether more than one pays."""

    def chosen_threads(self) -> int:
        """The number given, else a measured one; 0 where an accelerator does the work."""
        if self.threads < 0:
            raise InputError(f"--threads is {self.threads}; give 0 (choose) or a number above.")
        if self.threads:
            return self.threads
        import torch

        from bequest.run.threads import calibrated_threads

        if self.device not in ("auto", "cpu"):
            return 0
        if self.device == "auto" and torch.accelerator.is_available():
            return 0
        threads = calibrated_threads()
        say("Threads:", f"{threads} (chosen; --threads N sets it)", stderr=self.json)
        return threads

    def new_folder(self, *parts: str) -> Path:
        """The folder given, else `runs/PARTS-TIME`, one that does not exist."""
        if self.folder is not None:
            return self.folder
        name = "-".join(re.sub(r"[^\w.-]+", "_", part) for part in parts)
        path = Path("runs", f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")
        number, free = 1, path
        while free.exists():
            number += 1
            free = path.with_name(f"{path.name}-{number}")
        return free


@contextmanager
def running(folder: Path, *, json: bool) -> Iterator[None]:
    """Says where the run is; Ctrl-C at a moment without a checkpoint is told how to go on, too."""
    say("Folder:", folder, stderr=json)
    try:
        yield
    except KeyboardInterrupt as error:
        again = "" if not (folder / "config.yaml").exists() else f" Go on with: {resuming(folder)}"
        raise StoppedError(f"Stopped before the next checkpoint.{again}") from error


def resuming(folder: Path) -> str:
    """The command that goes on with the run."""
    return f"bequest resume {shlex.quote(str(folder))}"


def finished(folder: Path) -> dict[str, Any] | None:
    """The figures of a run that came to its end; None for any other."""
    path = folder / "result.json"
    if not path.exists():
        return None
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return figures


def conclude(folder: Path, *, as_json: bool) -> None:
    """Writes the report and says what came out: figures, time by section, what to do next."""
    if not is_main_process():
        return
    from bequest.report import write_report

    report = write_report(folder)
    tell(folder, report=report, as_json=as_json)


def tell(folder: Path, *, report: Path, as_json: bool) -> None:
    """Says what came out of a finished run."""
    result = finished(folder) or {}
    if as_json:
        write_json({"folder": str(folder), "report": str(report), **result})
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name, value in result.get("metrics", {}).items():
        table.add_row(name.replace("_", " "), f"{value:.2f}", "")
    seconds = result.get("seconds", {})
    total = sum(seconds.values())
    for name, taken in seconds.items():
        table.add_row(f"{name} time", f"{taken:.1f} s", f"{taken / total:.0%}" if total else "")
    console().print(table)
    say("Report:", report)
    say("Folder:", folder)
    say("Next:  ", f"bequest export {shlex.quote(str(folder))} --format safetensors")
