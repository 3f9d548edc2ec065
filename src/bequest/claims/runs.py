"""The runs behind a claim: each arm and seed once, kept in the cache.

A run is known by the hash of everything that decides its outcome (`Task.key`). Its record lies in
`<cache>/claims/<hash>.json`, and what it writes on the way in the folder `<cache>/claims/<hash>/`,
from whose checkpoint a run that was broken off goes on. Failures are not kept: they run again.
Nothing here imports torch or numpy before the first run: a worker sets its threads first.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bequest.claims.files import write_atomically
from bequest.errors import InputError, StoppedError

Record = dict[str, Any]
"""What is kept of a run: key, metrics, seconds, cpu_seconds, flops, environment."""

_RECORDED = {"metrics", "seconds", "cpu_seconds", "flops", "environment"}
_LEFT_OVER = ("checkpoint.safetensors", "model.safetensors")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run: a job and what decides its outcome.

    Attributes:
        job: The fields of `bequest.execute.Job`.
        key: Everything that decides the outcome, as plain values.
        folder: Where records are kept.
    """

    job: Mapping[str, Any]
    key: Mapping[str, Any]
    folder: Path

    @property
    def hash(self) -> str:
        """32 hexadecimal digits of the key."""
        text = json.dumps(self.key, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def path(self) -> Path:
        """The record's file."""
        return self.folder / f"{self.hash}.json"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a task ended: with a record, with an error, or stopped (neither)."""

    record: Record | None = None
    error: str = ""
    cached: bool = False


def read_record(task: Task) -> Record | None:
    """The kept record of a task; None when there is none, or only a damaged one."""
    try:
        record = json.loads(task.path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(record, dict) and record.keys() >= _RECORDED
    return record if whole else None


def run_task(task: Task) -> Outcome:
    """Runs one task in this process, unless its record is there; keeps the record.

    Errors of the run come back as text. Another process at the same task is waited for, and its
    record taken.

    Raises:
        StoppedError: When the run was asked to stop; its checkpoint was written.
        KeyboardInterrupt: When it was stopped outside of its steps.
    """
    from bequest.execute import Job, execute

    folder = task.folder / task.hash
    with _alone(task.folder / ".locks" / task.hash):
        record = read_record(task)
        if record is not None:
            return Outcome(record=record, cached=True)
        try:
            result = execute(Job(**task.job), folder, resume=(folder / "config.yaml").exists())
        except StoppedError:
            raise
        except Exception as error:
            if isinstance(error, InputError):
                # It may be the folder that cannot be used: the next attempt starts anew.
                shutil.rmtree(folder, ignore_errors=True)
            text = "".join(traceback.format_exception(error))
            with suppress(OSError):
                write_atomically(task.folder / f"{task.hash}.error.txt", text)
            return Outcome(error=f"{type(error).__name__}: {error}")
        record = {
            "key": dict(task.key),
            "metrics": dict(result.metrics),
            "seconds": dict(result.seconds),
            "cpu_seconds": dict(result.cpu_seconds),
            "flops": dict(result.flops),
            "environment": json.loads((folder / "environment.json").read_text(encoding="utf-8")),
        }
        bad = [name for name, value in result.metrics.items() if not math.isfinite(value)]
        if bad:
            return Outcome(error=f"{', '.join(bad)} of the result is not finite")
        write_atomically(task.path, json.dumps(record, indent=2) + "\n")
        for name in _LEFT_OVER:
            (folder / name).unlink(missing_ok=True)
    (task.folder / f"{task.hash}.error.txt").unlink(missing_ok=True)
    return Outcome(record=record)


def run_here(tasks: Sequence[Task], *, ended: Callable[[Task, Outcome], None]) -> None:
    """Runs all tasks in this process, one after the other, and hands each outcome to `ended`.

    The process gets its number of threads back, which a job sets.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        for task in tasks:
            ended(task, run_task(task))
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Waits until no other process works at the same run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
