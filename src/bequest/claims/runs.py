"""The runs behind a claim: each arm and seed once, in parallel processes, kept in the cache.

A run is known by the hash of everything that decides its outcome (`Task.key`). Its record lies in
`<cache>/claims/<hash>.json`, and what it writes on the way in the folder `<cache>/claims/<hash>/`,
from whose checkpoint a run that was broken off goes on. Failures are not kept: they run again.

This module imports neither torch nor numpy, so that a worker can set its threads before they are
there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import multiprocessing
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from types import FrameType
from typing import Any

from bequest.claims.files import write_atomically
from bequest.errors import InputError, StoppedError

Record = dict[str, Any]
"""What is kept of a run: key, metrics, seconds, cpu_seconds, flops, environment."""

_SINGLE_THREADED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
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


def run_tasks(
    tasks: Sequence[Task],
    *,
    workers: int,
    threads: int,
    ended: Callable[[Task, Outcome], None],
) -> None:
    """Runs all tasks and hands each outcome to `ended` as it comes.

    Args:
        tasks: Different ones.
        workers: Processes; with 1, everything happens in this process.
        threads: Of each process.
        ended: Called in this process.

    Raises:
        StoppedError: After Ctrl-C, when every run has written its checkpoint.
    """
    if workers == 1:
        for task in tasks:
            with _threads_restored():
                outcome = run_task(task)
            ended(task, outcome)
        return
    died = _run_parallel(tasks, workers, threads, ended)
    # When one worker dies (killed for memory, a crash in native code), the pool gives up all that
    # were running. Each gets a pool of its own, so that the guilty one is found.
    for task in died:
        if _run_parallel([task], 1, threads, ended):
            ended(task, Outcome(error="the process died: out of memory, or a crash in native code"))


def _run_parallel(
    tasks: Sequence[Task], workers: int, threads: int, ended: Callable[[Task, Outcome], None]
) -> list[Task]:
    """Runs tasks in a pool; gives back those whose fate is unknown, since a worker died."""
    before = set(multiprocessing.active_children())
    died: list[Task] = []
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare_worker,
        initargs=(threads,),
    )
    try:
        futures: dict[Future[Outcome], Task] = {
            pool.submit(_run_in_worker, task): task for task in tasks
        }
        for future in as_completed(futures):
            try:
                ended(futures[future], future.result())
            except BrokenProcessPool:
                died.append(futures[future])
    except (KeyboardInterrupt, StoppedError):
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()  # SIGTERM: each run writes its checkpoint first
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return died


# -- inside a worker ---------------------------------------------------------------------------


def _prepare_worker(threads: int) -> None:
    """Sets the threads before torch is imported, and leaves all signals to the parent."""
    for name in _SINGLE_THREADED:
        os.environ[name] = str(threads)
    # Threads that wait actively steal the cores from the other workers.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A group of its own: Ctrl-C in the terminal reaches the parent alone, which asks each worker
    # once. (A run takes a second request for an order to end at once, without a checkpoint.)
    with suppress(OSError):
        os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _run_in_worker(task: Task) -> Outcome:
    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Ignored between tasks: a worker that died there would break the pool for the others. Within
    # its steps a run has a handler of its own, which saves first.
    previous = signal.signal(signal.SIGTERM, stop)
    try:
        return run_task(task)
    except KeyboardInterrupt:
        raise StoppedError("stopped before the first step") from None
    finally:
        signal.signal(signal.SIGTERM, previous)


def _end_with_parent() -> None:
    """Ends this process, with a checkpoint, when its parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
    os._exit(1)


# -- small helpers -----------------------------------------------------------------------------


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Waits until no other process works at the same run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _threads_restored() -> Iterator[None]:
    """Gives the process its number of threads back, which a job sets."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
