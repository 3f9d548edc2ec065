"""Negatives for a softmax over very many classes: which to draw, and how probable each was.

Classes are ranked by falling frequency; a log-uniform draw then takes frequent ones more often, as
Zipf's law has it. A sample has no class twice.
"""

from __future__ import annotations

import torch
from torch import Tensor


def log_uniform_probabilities(number: int, *, device: torch.device | None = None) -> Tensor:
    """`P(rank) = (log(rank + 2) - log(rank + 1)) / log(number + 1)` of ranks 0 .. number - 1.

    Returns:
        `(number,)`, falling, with sum 1.

    Example:
        >>> log_uniform_probabilities(3)
        tensor([0.5000, 0.2925, 0.2075])
    """
    edges = torch.arange(1, number + 2, device=device, dtype=torch.float64).log()
    return (edges.diff() / edges[-1]).float()


def by_frequency(counts: Tensor) -> Tensor:
    """Log-uniform probabilities of classes that are not sorted, `(classes,)`.

    Args:
        counts: How often each class occurs; of equal ones the first has the lower rank.
    """
    order = counts.argsort(descending=True, stable=True)
    probabilities = torch.empty(len(counts), device=counts.device)
    probabilities[order] = log_uniform_probabilities(len(counts), device=counts.device)
    return probabilities


def draw_distinct(
    probabilities: Tensor, number: int, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws `number` different classes, one after the other, each in proportion to what is left.

    An exponential race gives the same distribution as drawing again and again until so many
    different ones are found, without a loop: class i arrives at `E_i / p_i` with `E_i` standard
    exponential, and the first `number` arrivals are the sample. Given the arrival tau of the next
    one, class i is in it with probability `1 - exp(-p_i tau)`, which makes weighted sums over the
    sample unbiased. It is the limit of `1 - (1 - p_i) ** tries`, that of rejection sampling, whose
    number of tries tau stands for.

    Args:
        probabilities: `(classes,)`, positive.
        number: How many; all classes where there are no more than that.
        generator: On the same device.

    Returns:
        The drawn classes `(number,)` and, for every class, the probability `(classes,)` that it
        was drawn.
    """
    if number >= len(probabilities):
        everything = torch.arange(len(probabilities), device=probabilities.device)
        return everything, torch.ones_like(probabilities)
    arrivals = torch.empty_like(probabilities).exponential_(generator=generator) / probabilities
    times, classes = arrivals.topk(number + 1, largest=False)
    return classes[:-1], -torch.expm1(-probabilities * times[-1])
