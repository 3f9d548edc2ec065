"""Claims in worker processes: real ones, so this file holds few and thorough tests."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from bequest.claims import run_claims
from bequest.errors import StoppedError


def test_workers_survive_a_death_and_keep_the_rest(fakes: Path) -> None:
    report = run_claims(
        "fake",
        claims=["good-beats-bad", "deadly-beats-bad"],
        seeds=3,
        size="smoke",
        workers=2,
        progress=False,
    )
    lines = [line.split() for line in (fakes / "journal.txt").read_text().splitlines()]
    assert str(os.getpid()) not in {line[2] for line in lines}
    assert {line[3] for line in lines} == {"1"}
    assert report.arms["deadly"].failures == {
        "1": "the process died: out of memory, or a crash in native code"
    }
    assert [c.pairs for c in report.claims] == [3, 2]
    inline = run_claims(
        "fake", claims=["good-beats-bad"], seeds=3, size="smoke", workers=1, progress=False
    )
    assert inline.cached == 6
    assert inline.claims[0] == report.claims[0]


def test_ctrl_c_keeps_what_is_done(fakes: Path) -> None:
    def interrupt() -> None:
        for _ in range(600):
            time.sleep(0.1)
            text = (fakes / "journal.txt").read_text() if (fakes / "journal.txt").exists() else ""
            if text.count("64.0 ") == 2:
                time.sleep(0.3)
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(StoppedError, match="runs are done and kept"):
        run_claims("fake", claims=["slow-beats-bad"], seeds=2, workers=2, progress=False)
    thread.join()
    # Both were in the middle of their steps, and wrote a checkpoint when they were asked to stop.
    assert len(list((fakes / "claims").rglob("checkpoint.safetensors"))) == 2
