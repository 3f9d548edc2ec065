"""A generated graph with a bias that is known, because it was put in."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def biased_graph(
    *,
    nodes: int = 2000,
    rates: tuple[float, float] = (0.6, 0.5),
    merit: float = 0.3,
    leak: float = 0.5,
    degree: float = 20.0,
    same_group: float = 3.0,
    same_label: float = 1.3,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A stochastic block model over group and label, with features of both.

    Half of the nodes are of group 1. Of each group, the share `rates` is of class 1, so that the
    labels themselves are less often good in group 1. Features are the group
    itself; four numbers of mean `+-merit` by class; four of mean `+-leak` by group, which tell the
    group to whoever is not shown it; and four that mean nothing; all with a deviation of 1. An edge
    is `same_group` times as likely within a group, `same_label` times as likely within a class,
    and nodes have `degree` neighbours on average. Because features and neighbours say little of
    the class and much of the group, a classifier exaggerates the difference of the rates.

    Returns:
        Features `(nodes, 13)`, edges `(2, edges)` in both directions, labels and groups
        `(nodes,)`.
    """
    draw = np.random.default_rng(seed)
    group = np.arange(nodes) % 2
    label = np.zeros(nodes, dtype=np.int64)
    for value, rate in enumerate(rates):
        own = draw.permutation(np.flatnonzero(group == value))
        label[own[: round(rate * len(own))]] = 1
    means = np.concatenate(
        [
            np.outer(2 * label - 1, np.full(4, merit)),
            np.outer(2 * group - 1, np.full(4, leak)),
            np.zeros((nodes, 4)),
        ],
        axis=1,
    )
    features = np.column_stack([group, means + draw.standard_normal(means.shape)])
    likely = np.where(group[:, None] == group, same_group, 1.0)
    likely *= np.where(label[:, None] == label, same_label, 1.0)
    np.fill_diagonal(likely, 0.0)
    upper = np.triu(draw.random((nodes, nodes)) < likely * degree * nodes / likely.sum(), 1)
    edges = np.stack(np.nonzero(upper | upper.T))
    return (
        torch.from_numpy(features).float(),
        torch.from_numpy(edges),
        torch.from_numpy(label),
        torch.from_numpy(group),
    )
