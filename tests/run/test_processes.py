"""Two CPU processes (gloo) give the result of one at the same global batch."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bequest.errors import InputError
from bequest.run import Run, load_state

_SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import nn
torch.set_num_threads(1)
from bequest.run import Run
from bequest.run import save_state

with Run(Path(sys.argv[1]) / "run", device="cpu", precision="fp32", config={}) as run:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.9)
    for step in run.steps(20, state={"network": network, "optimizer": optimizer}):
        batch = torch.randn(32, 6, generator=run.rng)
        share = run.share(batch)
        answer = network(share)
        loss = (answer - share[:, :3].sin()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        run.reduce(network)
        optimizer.step()
        gathered = run.gather(share)
        assert torch.equal(gathered, batch)
    if run.is_main:
        save_state({"weights": network.state_dict(), "world": run.accelerator.num_processes},
                   Path(sys.argv[1]) / "out")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(_SCRIPT)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    subprocess.run([sys.executable, script, tmp_path / "one"], check=True)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += ["--master_port", str(free_port())]
    done = subprocess.run(
        [*launch, str(script), str(tmp_path / "two")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = load_state(tmp_path / "one" / "out"), load_state(tmp_path / "two" / "out")
    assert (one["world"], two["world"]) == (1, 2)
    torch.testing.assert_close(one["weights"], two["weights"], rtol=1e-5, atol=1e-6)


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Two:
        num_processes, process_index = 2, 0

    with Run() as run:
        monkeypatch.setattr(run, "accelerator", Two())
        with pytest.raises(InputError, match="cannot be shared"):
            run.share(torch.zeros(3, 1))
        monkeypatch.undo()
