"""What a network costs: parameters, multiply-accumulates, milliseconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bequest.nn.modes import frozen


def parameters(network: nn.Module) -> int:
    """How many numbers its parameters hold."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def multiply_accumulates(network: nn.Module, images: Tensor) -> int:
    """Multiply-accumulates of one image: half of the FLOPs that PyTorch's counter finds.

    Args:
        network: Left as it is.
        images: `(batch, channels, height, width)`; the count is divided by the batch.
    """
    with frozen(network), FlopCounterMode(display=False) as counter:
        network(images)
    return counter.get_total_flops() // (2 * len(images))


@torch.no_grad()
def latencies(
    networks: Mapping[str, nn.Module], images: Tensor, *, repeats: int = 30, warmup: int = 3
) -> dict[str, float]:
    """Median wall-clock milliseconds of a forward pass in eval mode, by name.

    The networks take turns, so that what else the machine does falls on all alike; the threads
    are those of the process.

    Args:
        networks: All on the device of the images.
        images: `(batch, channels, height, width)`.
        repeats: Measured passes of each.
        warmup: Passes of each before.
    """
    times: dict[str, list[float]] = {name: [] for name in networks}
    with frozen(*networks.values()):
        for repeat in range(repeats + warmup):
            for name, network in networks.items():
                _wait(images.device)
                start = time.perf_counter()
                network(images)
                _wait(images.device)
                if repeat >= warmup:
                    times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
