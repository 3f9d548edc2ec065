"""A loop that ends early ends in order, once, and for good."""

from __future__ import annotations

import json

import pytest
import torch

from bequest.run import Run


def two_phases(run, *, end, seen, stop=None):
    """The first phase ends at step `end`; `stop` breaks off the second one."""
    value = torch.zeros(1)
    for step in run.steps(10, name="first", state={"value": value}):
        seen.append(("first", step))
        value += 1
        run.log(value=value.item())
        if step == end:
            run.end_phase()
    for step in run.steps(3, name="second", state={"value": value}):
        seen.append(("second", step))
        if step == stop:
            raise KeyboardInterrupt
        value += 10
    return value.item()


def test_the_next_loop_is_not_ended_and_the_rows_are_written(tmp_path):
    seen = []
    with Run(tmp_path, device="cpu") as run:
        assert two_phases(run, end=3, seen=seen) == 4 + 30
        assert run.fraction == 1.0
    assert seen == [("first", step) for step in range(4)] + [("second", s) for s in range(3)]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert max(row["step"] for row in rows if row["phase"] == "first") == 4


def test_a_resumed_run_does_not_go_on_with_an_ended_phase(tmp_path):
    options = {"device": "cpu", "checkpoint_seconds": 1e9}
    with pytest.raises(KeyboardInterrupt), Run(tmp_path, **options) as run:
        two_phases(run, end=3, seen=[], stop=0)  # the last checkpoint is the first phase's end
    seen = []
    with Run(tmp_path, resume=True, **options) as run:
        assert two_phases(run, end=3, seen=seen) == 4 + 30
    assert seen == [("second", step) for step in range(3)]


def test_the_step_at_hand_is_the_last_even_where_a_checkpoint_is_due(tmp_path):
    """No checkpoint is written between the call and the end: a resume could go on from it."""
    seen = []
    with (
        pytest.raises(KeyboardInterrupt),
        Run(tmp_path, device="cpu", checkpoint_seconds=0.0) as run,
    ):
        two_phases(run, end=5, seen=seen, stop=0)
    with Run(tmp_path, device="cpu", resume=True) as run:
        seen.clear()
        assert two_phases(run, end=5, seen=seen) == 6 + 30
    assert ("first", 6) not in seen
