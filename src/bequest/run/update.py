"""One step of an optimizer, the same in one process and in several."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bequest.run.run import Run


def update(
    run: Run,
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    *modules: nn.Module,
    rate: float | None = None,
) -> None:
    """Moves what `optimizer` holds along the gradient of `loss` alone.

    Args:
        run: Averages over its processes.
        loss: A scalar, the mean over this process's share.
        optimizer: Of the parameters of `modules`.
        modules: Whose gradients and running statistics are averaged over processes.
        rate: The learning rate from now on, times the `rate_scale` of a group that has one; None
            leaves it as it is.
    """
    if rate is not None:
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("rate_scale", 1.0)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for module in modules:
        run.reduce(module)
    optimizer.step()
