"""A study of seconds for the tests of claims: scores come from the seed, not from training.

The catalogue finds it as it finds a plug-in's, also in worker processes: `install` writes the
entry point into a folder on the path.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from bequest.data import cache_folder
from bequest.errors import NotFiniteError
from bequest.methods.base import Count, NonNegative, method
from bequest.run import Budget, Result, Run
from bequest.studies.base import Claim, Study

SHARED = (0.0, 6.0, -4.0, 2.0, -1.0)
"""What a seed adds to the score of every arm."""
OWN = (0.1, -0.2, 0.3, 0.0, -0.1)
"""What it adds to an arm's score, times the arm's `noise`."""


@method
class Fake:
    """Its score is `level`, and what the seed adds."""

    level: float = 80.0
    """Mean score."""
    noise: NonNegative = 1.0
    """How much of `OWN` is added."""
    steps: Count = 3
    """Steps of the loop."""
    pause: NonNegative = 0.0
    """Seconds a step."""
    trouble: Literal["", "raise", "interrupt", "die", "silent"] = ""
    """What happens with seed 1."""

    def fit(self, run: Run) -> Result:
        """Counts, in steps, and says its score."""
        with (cache_folder() / "journal.txt").open("a", encoding="utf-8") as file:
            file.write(f"{self.level} {run.seed} {os.getpid()} {os.environ['OMP_NUM_THREADS']}\n")
        counter = torch.zeros(())
        model = nn.Linear(2, 1)
        for step in run.steps(self.steps, state={"counter": counter}):
            counter += torch.rand((), generator=run.rng).sign()
            run.log(loss=1.0 / (step + 1))
            time.sleep(self.pause)
            if run.seed == 1 and step == 1:
                self._cause_trouble()
        with run.section("evaluation"):
            seed = run.seed % len(SHARED)
            score = self.level + SHARED[seed] + self.noise * OWN[seed]
        name = "other" if self.trouble == "silent" and run.seed == 1 else "accuracy"
        return run.result(model, {name: score, "counter": counter.item()})

    def _cause_trouble(self) -> None:
        if self.trouble == "raise":
            raise NotFiniteError("'loss' became nan")
        if self.trouble == "interrupt" and not (cache_folder() / "interrupted").exists():
            (cache_folder() / "interrupted").touch()
            os.kill(os.getpid(), signal.SIGINT)
        if self.trouble == "die":
            os.kill(os.getpid(), signal.SIGKILL)


def execute(method: Fake, size: str, run: Run) -> Result:
    """Runs one arm."""
    return method.fit(run)


def arms(size: str) -> dict[str, Fake]:
    """Arms by what they are good for."""
    good = Fake(level=90.0, noise=0.0)
    return {
        "good": good,
        "same": Fake(level=90.0, noise=0.0),
        "bad": Fake(level=80.0),
        "close": Fake(level=90.01),
        "broken": Fake(level=60.0, trouble="raise"),
        "interrupted": Fake(level=61.0, trouble="interrupt"),
        "deadly": Fake(level=62.0, trouble="die", pause=0.01),
        "silent": Fake(level=63.0, trouble="silent"),
        "slow": Fake(level=64.0, steps=2000, pause=0.01),
    }


def _claim(id: str, better: str, than: str, by: float = 0.0) -> Claim:
    return Claim(id=id, sentence=f"{better} beats {than}.", better=better, than=than, by=by)


study = Study(
    id="fake",
    arms=arms,
    execute=execute,
    budget=lambda size: Budget(steps=3 if size == "smoke" else 2000),
    data={"default": "numbers"},
    claims=(
        _claim("good-beats-bad", "good", "bad", by=5.0),
        _claim("bad-beats-good", "bad", "good"),
        _claim("close-beats-good", "close", "good"),
        _claim("same-is-no-worse", "same", "good", by=-1.0),
        _claim("broken-beats-bad", "broken", "bad", by=-50.0),
        _claim("bad-beats-broken", "bad", "broken"),
        _claim("interrupted-beats-bad", "interrupted", "bad"),
        _claim("deadly-beats-bad", "deadly", "bad"),
        _claim("silent-beats-bad", "silent", "bad", by=-50.0),
        _claim("slow-beats-bad", "slow", "bad"),
    ),
)

sibling = Study(
    id="fake-sibling",
    arms=lambda size: {"fake-sibling": Fake(level=70.0), "good": arms(size)["good"]},
    execute=execute,
    budget=study.budget,
)

stranger = Study(
    id="fake-stranger",
    arms=arms,
    execute=execute,
    budget=lambda size: Budget(steps=1),
)


def install(folder: Path) -> None:
    """Makes `folder`, which must be on the path, a distribution that adds the studies."""
    package = folder / "fake_claims-0.1.dist-info"
    package.mkdir(parents=True)
    text = "Metadata-Version: 2.1\nName: fake-claims\nVersion: 0.1\n"
    (package / "METADATA").write_text(text, encoding="utf-8")
    names = {"fake": "fake", "fake-sibling": "sibling", "fake-stranger": "stranger"}
    lines = [f"{id} = support.fake_entries:{name}\n" for id, name in names.items()]
    text = "[bequest.methods]\n" + "".join(lines)
    (package / "entry_points.txt").write_text(text, encoding="utf-8")
