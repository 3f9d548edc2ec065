"""One step of an optimizer by the gradient of one loss."""

from __future__ import annotations

import torch
from torch import nn

from bequest.run import Run
from bequest.run.update import update


def test_a_step_follows_the_gradient_of_the_loss_alone() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(2.0)
    layer.weight.grad = torch.tensor([[100.0]])  # of something before
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with Run(device="cpu") as run:
        update(run, layer(torch.tensor([[3.0]])).sum(), optimizer, layer)
    assert layer.weight.item() == torch.tensor(2.0 - 0.1 * 3.0).item()


def test_a_rate_is_scaled_by_group_and_stays() -> None:
    fast, slow = (nn.Parameter(torch.tensor(1.0)) for _ in range(2))
    groups = [{"params": [fast]}, {"params": [slow], "rate_scale": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=9.0)
    with Run(device="cpu") as run:
        update(run, fast + slow, optimizer, rate=0.5)
        assert (fast.item(), slow.item()) == (0.5, 0.75)
        update(run, fast + slow, optimizer)
    assert (fast.item(), slow.item()) == (0.0, 0.5)
