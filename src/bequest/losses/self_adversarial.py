"""Negative sampling in which the model itself weighs the negatives."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def self_adversarial_loss(positive: Tensor, negative: Tensor, *, temperature: float) -> Tensor:
    """Self-adversarial negative sampling, of each sample.

    Z. Sun, Z.-H. Deng, J.-Y. Nie, J. Tang, "RotatE: Knowledge Graph Embedding by Relational
    Rotation in Complex Space", ICLR 2019, halved as in their code:

        L = - 1/2 [ log sigmoid(s+) + sum_j p_j log sigmoid(-s-_j) ]
        p = softmax(temperature * s-), without gradient

    Args:
        positive: Scores of true samples `(batch,)`, larger is truer, margin included.
        negative: Scores of corrupted ones `(batch, negatives)`.
        temperature: 0 weighs all negatives alike; at least 0.

    Returns:
        `(batch,)`, above 0.
    """
    shares = (temperature * negative.detach()).softmax(1)
    return -(F.logsigmoid(positive) + (shares * F.logsigmoid(-negative)).sum(1)) / 2
