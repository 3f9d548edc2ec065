"""The pool of worker processes, with work that needs no torch, and one claim through it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bequest.claims.plan import find_arm, settings_of, task_of
from bequest.claims.runs import Outcome, Task, read_record, run_here, run_task
from bequest.claims.workers import run_parallel
from bequest.errors import BequestError
from support.fake_claims import study
from support.fake_work import work


def run(folder: Path, whats: Sequence[str], *, workers: int = 2) -> dict[str, Outcome]:
    outcomes = {}

    def ended(task: Task, outcome: Outcome) -> None:
        assert task.job["what"] not in outcomes
        outcomes[task.job["what"]] = outcome

    tasks = [
        Task(job={"folder": str(folder), "what": what}, key={"what": what}, folder=folder)
        for what in whats
    ]
    run_parallel(tasks, workers=workers, threads=1, work=work, ended=ended)
    return outcomes


def test_workers_are_prepared_before_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    outcomes = run(tmp_path, ["slow-1", "slow-2", "a"])
    records = [outcome.record for outcome in outcomes.values()]
    assert {record["threads"] for record in records} == {"1"}
    assert {record["torch"] for record in records} == {False}
    # In groups of their own, so that Ctrl-C in the terminal does not reach them.
    assert all(record["group"] == record["process"] != os.getpid() for record in records)


def test_one_that_dies_is_found_and_the_others_lose_nothing(tmp_path: Path) -> None:
    outcomes = run(tmp_path, ["a", "die", "slow", "b", "c"])
    assert outcomes["die"].error == "the process died: out of memory, or a crash in native code"
    assert {outcomes[name].record["what"] for name in ("a", "slow", "b", "c")} == {
        "a",
        "slow",
        "b",
        "c",
    }
    assert (tmp_path / "die.mark").read_text() == "xx"


def test_workers_that_always_die_end_it(tmp_path: Path) -> None:
    with pytest.raises(BequestError, match="die before they have done anything"):
        run(tmp_path, ["die-1", "die-2", "die-3", "die-4"], workers=1)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal: a background process may have been started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_asks_each_worker_once_and_waits(tmp_path: Path) -> None:
    def interrupt() -> None:
        for _ in range(3600):
            time.sleep(0.05)
            if len(list(tmp_path.glob("wait*.mark"))) == 2:
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, ["a", "wait-1", "wait-2", "b", "c"])
    thread.join()
    assert (tmp_path / "wait-1.saved").exists()
    assert (tmp_path / "wait-2.saved").exists()
    assert not (tmp_path / "c.mark").exists()


def test_a_run_in_a_worker_equals_one_in_this_process(fakes: Path, tmp_path: Path) -> None:
    settings = settings_of(1, "smoke", 1, "cpu", "fp32")
    task = task_of(find_arm(study, "bad", "smoke"), 0, settings)
    outcomes: list[Outcome] = []

    def ended(task: Task, outcome: Outcome) -> None:
        outcomes.append(outcome)

    run_parallel([task], workers=1, threads=1, work=run_task, ended=ended)
    line = (fakes / "journal.txt").read_text().split()
    assert line[2] != str(os.getpid())
    (fakes / "claims").rename(tmp_path / "moved")
    run_here([task], ended=ended)
    there, here = outcomes
    assert not there.cached
    assert not here.cached
    assert here.record["metrics"] == there.record["metrics"]
    assert read_record(task) == here.record
