"""kill -9 at any moment, a save included: resume ends in the same weights, bit for bit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bequest.run import load_state

_SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
from bequest.run import Run

def train(folder):
    weight = torch.zeros(200_000)
    with Run(folder, config={}, resume=True, checkpoint_seconds=0) as run:
        for step in run.steps(60, state={"weight": weight}):
            weight.mul_(0.9).add_(torch.randn(200_000, generator=run.rng))
            print(step, flush=True)
    return weight

if __name__ == "__main__":
    train(sys.argv[1])
"""


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_runs_resume_bit_for_bit(tmp_path: Path, seed: int) -> None:
    # Each step ends with a save that takes most of the step's time, so a kill a random moment
    # after a random step falls into a save about as often as between two.
    rng = random.Random(seed)
    last = str(rng.randrange(5, 40))
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(tmp_path / "killed")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == last:
            time.sleep(rng.random() * 0.02)
            os.kill(process.pid, 9)
            break
    process.wait()
    assert process.returncode == -9
    assert int(load_state(tmp_path / "killed" / "checkpoint.safetensors")["step"]) < 60

    module: dict = {"__name__": "script"}
    exec(_SCRIPT, module)
    assert torch.equal(module["train"](tmp_path / "killed"), module["train"](tmp_path / "whole"))
