"""Cross-entropy over very many items, estimated on the target and a sample of the others."""

from __future__ import annotations

import torch
from torch import Tensor


def sampled_softmax(
    users: Tensor,
    targets: Tensor,
    negatives: Tensor,
    *,
    same: Tensor,
    log_q_targets: Tensor | float = 0.0,
    log_q_negatives: Tensor | float = 0.0,
) -> Tensor:
    """`-log softmax` of the target among itself and the negatives (Jean et al., ACL 2015, eq. 8).

    Each logit is `user . item - log q(item)`, where `q` is the probability that a sample holds the
    item; with all items as negatives and `q = 1` it is the full softmax.

    Args:
        users: `(batch, dim)`.
        targets: Embeddings of what each user took, `(batch, dim)`.
        negatives: Embeddings of items that the whole batch shares, `(number, dim)`.
        same: Whether a negative is the user's target, `(batch, number)`; such hits don't count.
        log_q_targets: `(batch,)`; 0 switches the correction off.
        log_q_negatives: `(number,)`.

    Returns:
        `(batch,)`, float32, never negative.
    """
    positive = (users * targets).sum(1).float() - log_q_targets
    logits = (users @ negatives.T).float() - log_q_negatives
    logits = logits.masked_fill(same, -float("inf"))
    return torch.cat([positive[:, None], logits], dim=1).logsumexp(1) - positive
