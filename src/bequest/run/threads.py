"""How many threads pay on this machine, now: measured, because cores may be shared."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

_CHANNELS = 32
_STEPS = 3
# Other processes come and go; a second thread that gains less than this is left to them.
_WORTH = 0.9


def calibrated_threads() -> int:
    """One thread, or all that PyTorch would take, whichever trains a small convolution faster.

    Takes well under a second; the number of threads is as before afterwards. `OMP_NUM_THREADS` and
    the cores that the process may use are respected: PyTorch's own choice is the upper limit.

    Returns:
        A number of threads, at least 1.
    """
    before = torch.get_num_threads()
    if before == 1:
        return 1
    network, images = _work()
    seconds: dict[int, list[float]] = {1: [], before: []}
    try:
        # The first round warms up; rounds alternate, so that a passing load hits both alike.
        for _ in range(1 + _STEPS):
            for threads, taken in seconds.items():
                torch.set_num_threads(threads)
                start = time.perf_counter()
                _step(network, images)
                taken.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return before if min(seconds[before][1:]) < _WORTH * min(seconds[1][1:]) else 1


def _work() -> tuple[nn.Module, Tensor]:
    """Two convolutions and images `(64, 32, 16, 16)`; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1),
        )
    return network, torch.ones(64, _CHANNELS, 16, 16)


def _step(network: nn.Module, images: Tensor) -> None:
    network.zero_grad(set_to_none=True)
    network(images).square().mean().backward()
