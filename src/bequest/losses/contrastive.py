"""Telling instances apart: each query must find its own key among all keys."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError


def info_nce(
    queries: Tensor, keys: Tensor, *, temperature: float = 0.1, valid: Tensor | None = None
) -> Tensor:
    """Per-query `-log( exp(q_i k_i / T) / sum_j exp(q_i k_j / T) )`.

    Van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding",
    2018, eq. 4, with the dot product as score: the cosine for vectors of length 1.

    Args:
        queries: `(count, dim)`.
        keys: `(count, dim)`; `keys[i]` is the positive of `queries[i]`, all others are negatives.
        temperature: T, above 0.
        valid: `(count,)` bool; pairs that are False are padding: no negatives of others, and 0
            as their own loss. None: all count.

    Returns:
        `(count,)`, at least 0, in fp32.

    Raises:
        InputError: When the shapes do not fit or the temperature is not above 0.
    """
    if queries.dim() != 2 or queries.shape != keys.shape or temperature <= 0:
        raise InputError(
            f"queries {tuple(queries.shape)}, keys {tuple(keys.shape)}, temperature {temperature}: "
            "two equal shapes (count, dim) and a temperature above 0 are needed."
        )
    scores = queries.float() @ keys.float().T / temperature
    targets = torch.arange(len(scores), device=scores.device)
    if valid is None:
        return F.cross_entropy(scores, targets, reduction="none")
    # A finite floor, so that the rows of padding stay finite too and give no NaN gradient.
    scores = scores.masked_fill(~valid, torch.finfo(scores.dtype).min)
    return F.cross_entropy(scores, targets, reduction="none") * valid


def nt_xent(first: Tensor, second: Tensor, *, temperature: float = 0.5) -> Tensor:
    """Per-view `-log( exp(u v / T) / sum of exp(u w / T) over all other views w )`.

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (SimCLR),
    ICML 2020, eq. 1. Each view has its partner and `2 count - 2` negatives, of both kinds.

    Args:
        first: `(count, dim)`, of length 1.
        second: `(count, dim)`; `second[i]` is the other view of `first[i]`.
        temperature: T, above 0.

    Returns:
        `(2 count,)`, at least 0, in fp32: the first views, then the second.

    Raises:
        InputError: When the shapes do not fit or the temperature is not above 0.
    """
    if first.dim() != 2 or first.shape != second.shape or temperature <= 0:
        raise InputError(
            f"views {tuple(first.shape)} and {tuple(second.shape)}, temperature {temperature}: "
            "two equal shapes (count, dim) and a temperature above 0 are needed."
        )
    views = torch.cat((first, second)).float()
    scores = views @ views.T / temperature
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    scores = scores.masked_fill(itself, torch.finfo(scores.dtype).min)
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(scores, partner, reduction="none")


def supervised_contrast(vectors: Tensor, labels: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Per-row `-mean over p in P(i) of log( exp(v_i v_p / T) / sum of exp(v_i v_a / T), a != i )`.

    Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, eq. 2 (the outer sum), with
    P(i) all other rows of the label of row i. Vectors are taken as they are: give unit vectors for
    the published form.

    Args:
        vectors: `(count, dim)`.
        labels: `(count,)`, integers.
        temperature: T, above 0.

    Returns:
        `(count,)`, at least 0, in fp32; 0 for a row whose label no other row has.

    Raises:
        InputError: When the shapes do not fit or the temperature is not above 0.
    """
    if vectors.dim() != 2 or labels.shape != vectors.shape[:1] or temperature <= 0:
        raise InputError(
            f"vectors {tuple(vectors.shape)}, labels {tuple(labels.shape)}, temperature "
            f"{temperature}: (count, dim), (count,) and a temperature above 0 are needed."
        )
    scores = vectors.float() @ vectors.float().T / temperature
    itself = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    scores = scores.masked_fill(itself, torch.finfo(scores.dtype).min)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    log_shares = scores.log_softmax(1).masked_fill(~positive, 0.0)
    return -log_shares.sum(1) / positive.sum(1).clamp_min(1)
