"""Relations between the tokens of an attention layer: who looks at whom.

A layer projects its tokens to queries q, keys k and values v, each split among h heads. The scores
of a pair of them, such as q k^T / sqrt(d) with d the length in a head, say how much each token has
to do with each other; their softmax over rows is a relation, for q and k the attention map itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError

_PARTS = "qkv"


def relation_scores(projections: Tensor, kind: str, *, heads: int) -> Tensor:
    """Scores of one kind of relation, before their softmax.

    Args:
        projections: `(batch, tokens, 3 dim)`: q, k and v one after the other, as one linear layer
            gives them.
        kind: Two letters of q, k, v: `qk` is ordinary attention.
        heads: How many to split each of the three into; decides the scale `(dim / heads)^-1/2`.

    Returns:
        `(batch, heads, tokens, tokens)`, in the precision of `projections`.

    Raises:
        InputError: For another kind, or a number of heads that does not divide `dim`.
    """
    if len(kind) != 2 or not set(kind) <= set(_PARTS):
        raise InputError(f"A relation is two letters of q, k and v, such as 'qk', not '{kind}'.")
    batch, tokens, width = projections.shape
    dim = width // 3
    if heads < 1 or dim % heads:
        raise InputError(
            f"{dim} channels cannot be split into {heads} heads: take a width that {heads} divides."
        )
    parts = projections.view(batch, tokens, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
    first, second = (parts[_PARTS.index(letter)] for letter in kind)
    return first * (dim // heads) ** -0.5 @ second.transpose(-2, -1)


def log_relation(scores: Tensor, *, mean_head: bool = False) -> Tensor:
    """The logarithm of the softmax over rows, in fp32.

    Trap: the logarithm of a softmax is minus infinity where half precision rounds it to 0;
    `log_softmax` of the scores is not.

    Args:
        scores: `(batch, heads, tokens, tokens)`.
        mean_head: Whether to average the softmax over heads first.

    Returns:
        Like `scores`; with `mean_head`, `(batch, 1, tokens, tokens)`.
    """
    logs = torch.log_softmax(scores.float(), dim=-1)
    if not mean_head:
        return logs
    return torch.logsumexp(logs, dim=1, keepdim=True) - torch.tensor(scores.shape[1]).log()
