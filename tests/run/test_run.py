"""The loop: what it yields, when it stops, what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from bequest.errors import InputError, NotFiniteError, StoppedError
from bequest.run import Budget, Run


def toy(run: Run, total: int = 12, *, stop_at: int | None = None) -> torch.Tensor:
    """A small training with momentum, noise from a stream and dropout from the global state."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    state = {"network": network, "optimizer": optimizer}
    for step in run.steps(total, state=state):
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        batch = torch.randn(8, 4, generator=run.rng)
        loss = network(batch).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss=loss)
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("stop_at", [0, 5, 10])
def test_a_stopped_run_resumes_to_the_same_weights(tmp_path: Path, stop_at: int) -> None:
    with Run(tmp_path / "whole", config={"x": 1}) as run:
        whole = toy(run)
    with (
        Run(tmp_path / "parts", config={"x": 1}) as run,
        pytest.raises(StoppedError, match="bequest resume"),
    ):
        toy(run, stop_at=stop_at)
    with Run(tmp_path / "parts", config={"x": 1}, resume=True) as run:
        resumed = toy(run)
    assert torch.equal(whole, resumed)
    steps = pd.read_json(tmp_path / "parts" / "metrics.jsonl", lines=True)["step"]
    assert list(steps) == list(range(1, 13))


def test_a_finished_run_resumes_to_its_end_without_a_step(tmp_path: Path) -> None:
    with Run(tmp_path, config={}) as run:
        whole = toy(run)
    with Run(tmp_path, config={}, resume=True) as run:
        again = toy(run)
        assert run.step == 12 or run.step == 0
    assert torch.equal(whole, again)


def test_phases_resume_where_they_were(tmp_path: Path) -> None:
    def two_phases(run: Run, stop_at: int | None) -> torch.Tensor:
        total = torch.zeros(1)
        for _ in run.steps(3, name="first", state={"total": total}):
            total += torch.randn(1, generator=run.rng)
        for step in run.steps(4, name="second", state={"total": total}):
            if step == stop_at:
                os.kill(os.getpid(), signal.SIGINT)
            total += 10 * torch.randn(1, generator=run.rng)
        return total

    with Run(tmp_path / "a") as run:
        whole = two_phases(run, None)
    with Run(tmp_path / "b") as run, pytest.raises(StoppedError):
        two_phases(run, 2)
    with Run(tmp_path / "b", resume=True) as run:
        assert torch.equal(two_phases(run, None), whole)


def test_nan_stops_with_the_name_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    weight = torch.ones(1)
    with (
        Run(tmp_path, checkpoint_seconds=0) as run,
        pytest.raises(NotFiniteError, match=r"'surprise' became nan.*last good checkpoint"),
    ):
        for step in run.steps(10, state={"weight": weight}, log_every=100):
            weight += 1
            run.log(fine=1.0, surprise=torch.tensor(float("nan") if step == 4 else 0.0))
    restored = torch.zeros(1)
    with Run(tmp_path, resume=True) as run:
        for step in run.steps(10, state={"weight": restored}):
            assert step == 4
            break
    assert restored.item() == 5.0


def test_budgets_stop_the_loop_and_drive_the_fraction() -> None:
    matrix = torch.randn(16, 16)
    with Run(budget=Budget(flops=5 * 2 * 16**3)) as run:
        fractions = []
        for _ in run.steps(1000, state={}):
            matrix @ matrix
            fractions.append(run.fraction)
    assert fractions == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    with Run(budget=Budget(steps=3)) as run:
        assert list(run.steps(1000, state={})) == [0, 1, 2]


def test_a_section_whose_cost_changes_takes_nothing_from_the_phase_around_it() -> None:
    small, large = torch.ones(4, 4), torch.ones(16, 16)
    with Run() as run:
        for _ in run.steps(2, name="first", state={}):
            with run.section("evaluation"):
                large @ large
        for _ in run.steps(3, name="second", state={}):
            small @ small
            with run.section("evaluation"):
                small @ small
                with run.section("part"):
                    small @ small
    assert run.meter.flops["second"] == 3 * 2 * 4**3
    assert run.meter.flops["part"] == 3 * 2 * 4**3


def test_sections_share_time_and_flops() -> None:
    small, large = torch.randn(4, 4), torch.randn(8, 8)
    with Run() as run:
        for step in run.steps(10, state={}, name="outer"):
            large @ large
            if step % 5 == 0:
                with run.section("inner"):
                    small @ small
    assert run.meter.flops == {"outer": 10 * 2 * 8**3, "inner": 2 * 2 * 4**3}
    assert run.meter.total_flops == sum(run.meter.flops.values())
    assert set(run.meter.seconds) == {"outer", "inner"}


def test_evaluation_is_outside_the_budget() -> None:
    matrix = torch.randn(8, 8)
    with Run(budget=Budget(flops=3 * 2 * 8**3)) as run:
        for _ in run.steps(100, state={}):
            matrix @ matrix
            with run.section("evaluation"):
                matrix @ matrix @ matrix
    assert run.meter.flops["evaluation"] == 3 * 2 * 2 * 8**3
    assert run.step == 3


def test_due_comes_the_given_number_of_times() -> None:
    with Run() as run:
        due = [step for step in run.steps(100, state={}) if run.due(times=4)]
    assert due == [0, 25, 50, 75]


def test_global_random_state_is_left_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with Run(seed=1) as run:
        toy(run)
    assert torch.equal(before, torch.get_rng_state())


def test_streams_are_decided_by_seed_and_name() -> None:
    def draw(seed: int, name: str) -> torch.Tensor:
        with Run(seed=seed) as run:
            torch.randn(3, generator=run.rng)
            return torch.randn(3, generator=run.stream(name))

    assert torch.equal(draw(0, "a"), draw(0, "a"))
    assert not torch.equal(draw(0, "a"), draw(0, "b"))
    assert not torch.equal(draw(0, "a"), draw(1, "a"))


def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    with Run(tmp_path):
        pass
    with pytest.raises(InputError, match="holds a run already"), Run(tmp_path):
        pass


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with Run(tmp_path), pytest.raises(InputError, match="in use"), Run(tmp_path, resume=True):
        pass


def test_a_checkpoint_of_another_method_is_refused(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        for _ in run.steps(1, state={"a": torch.zeros(1)}):
            pass
    with Run(tmp_path, resume=True) as run, pytest.raises(InputError, match="another version"):
        list(run.steps(1, state={"b": torch.zeros(1)}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "fp8"}, "must be auto, fp32 or bf16"),
        ({"trackers": ["tensorboard"]}, "need a folder"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Run(**arguments)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="above 0"):
        Budget(seconds=0)


def test_tensorboard_gets_the_figures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with Run(tmp_path, trackers=["tensorboard"], config={"a": {"b": [1]}}) as run:
        toy(run)
    assert list(tmp_path.rglob("events.out.tfevents*"))


def test_the_folder_says_what_ran(tmp_path: Path) -> None:
    with Run(tmp_path, config={"size": (1, 2), "path": Path("x")}) as run:
        run.picture("grid", torch.rand(5, 1, 4, 4))
        run.table("histogram", {"from": [0.0, 0.5], "count": [1, 2]})
        run.result(nn.Linear(2, 2), {"accuracy": 1.0})
    assert (tmp_path / "config.yaml").read_text() == "size:\n- 1\n- 2\npath: x\n"
    assert json.loads((tmp_path / "environment.json").read_text())["versions"]["torch"]
    for name in ("pictures/grid.png", "tables/histogram.json", "model.safetensors"):
        assert (tmp_path / name).stat().st_size > 0
