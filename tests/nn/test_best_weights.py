"""The best weights are kept, come back, and survive a checkpoint."""

from __future__ import annotations

import torch
from torch import nn

from bequest.nn.best_weights import BestWeights
from bequest.run.checkpoint import load_state, save_state


def test_the_best_weights_come_back(tmp_path):
    network = nn.Linear(2, 1)
    best = BestWeights(network)
    best.restore()  # nothing was offered: nothing happens
    kept = None
    for value, figure in enumerate([1.0, 3.0, 2.0, 3.0]):
        nn.init.constant_(network.weight, value)
        best.offer(figure)
        kept = kept if figure != 3.0 or kept is not None else float(value)
    assert (best.value, best.waited) == (3.0, 2)

    save_state(best.state_dict(), tmp_path / "state")
    other = BestWeights(nn.Linear(2, 1))
    other.load_state_dict(load_state(tmp_path / "state"))
    other.restore()
    assert (other.value, other.waited) == (3.0, 2)
    assert torch.equal(other._network.weight, torch.full((1, 2), kept))


def test_an_empty_state_is_one_too(tmp_path):
    save_state(BestWeights(nn.Linear(2, 1)).state_dict(), tmp_path / "state")
    best = BestWeights(nn.Linear(2, 1))
    best.load_state_dict(load_state(tmp_path / "state"))
    assert best.value == -float("inf")


def test_of_equal_figures_the_last_may_count():
    network = nn.Linear(2, 1)
    best = BestWeights(network, latest=True)
    for value in (1.0, 2.0):
        nn.init.constant_(network.weight, value)
        best.offer(3.0)
    assert best.waited == 0
    best.offer(2.0)
    best.restore()
    assert torch.equal(network.weight, torch.full((1, 2), 2.0))
