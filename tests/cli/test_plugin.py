"""A distribution of somebody else's that adds a method is found, shown and run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Shell

from bequest import catalog

_ROW = """
from bequest.catalog import Entry

entry = Entry(
    id="coin",
    name="Coin",
    family="chance",
    summary="Heads or tails.",
    method="coin_method.algorithm:Coin",
    study="coin_method.study:study",
)
"""
_METHOD = '''"""Coin: guesses."""

from __future__ import annotations

from bequest.methods.base import Fraction, method


@method
class Coin:
    """Guesses."""

    bias: Fraction = 0.5
    """How often it says heads."""

    def fit(self, *, run):
        """Guesses once."""
        import torch

        for step in run.steps(1, state={"nothing": torch.zeros(())}):
            run.log(guess=float(step))
        return run.result(torch.nn.Linear(1, 1), {"accuracy": 100 * self.bias})
'''
_STUDY = """
from bequest.studies.base import Claim, Study
from coin_method.algorithm import Coin

study = Study(
    id="coin",
    arms=lambda size: {"fair": Coin(), "loaded": Coin(bias=0.9)},
    execute=lambda method, size, run: method.fit(run=run),
    claims=(Claim(id="loaded-wins", sentence="It pays.", better="loaded", than="fair", by=5.0),),
)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    site = tmp_path / "site"
    package = site / "coin_method"
    package.mkdir(parents=True)
    for name, text in (
        ("__init__", ""),
        ("catalog", _ROW),
        ("algorithm", _METHOD),
        ("study", _STUDY),
    ):
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    info = site / "coin_method-1.0.dist-info"
    info.mkdir()
    metadata = "Metadata-Version: 2.1\nName: coin-method\nVersion: 1.0\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    points = "[bequest.methods]\ncoin = coin_method.catalog:entry\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(site)
    catalog.methods.cache_clear()
    yield info
    catalog.methods.cache_clear()


def test_it_is_listed_shown_and_run(shell: Shell, plugin: Path) -> None:
    listed = {row["id"]: row for row in json.loads(shell("list", "--json").out)}
    assert listed["coin"]["family"] == "chance"
    assert "ssd-kd" in listed

    shown = shell("show", "coin").out
    assert "Coin: guesses." in shown
    assert "loaded-wins" in shown

    ran = shell("run", "coin", "--arm", "loaded", "--bias", "0.25", "--json")
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["metrics"] == {"accuracy": 25.0}


def test_one_that_is_broken_is_named(shell: Shell, plugin: Path) -> None:
    points = "[bequest.methods]\ncoin = coin_method.nothing:entry\n"
    (plugin / "entry_points.txt").write_text(points, encoding="utf-8")
    catalog.methods.cache_clear()
    answer = shell("list")
    assert answer.status == 64
    assert "plug-in 'coin' cannot be loaded" in answer.err
