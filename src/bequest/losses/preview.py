"""Weights by difficulty that open with the training: hard samples count little at first.

Ding et al., "Preview-based Category Contrastive Learning for Knowledge Distillation", IEEE TCSVT
2025. Self-paced learning drops hard samples until their time has come; here they are previewed with
a small weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError


def relative_difficulty(losses: Tensor) -> Tensor:
    """gamma: each sample's loss over the mean of the batch.

    Args:
        losses: `(batch,)`, at least 0, the cross-entropy to the label for example.

    Returns:
        `(batch,)`, at least 0, of mean 1; all 0 where all losses are 0.
    """
    return losses / losses.mean().clamp_min(torch.finfo(losses.dtype).tiny)


def preview_threshold(progress: float, *, final: float = 3.31) -> float:
    """t: the difficulty up to which a sample counts fully, `final ** progress`.

    Published is 1.005^epoch over 240 epochs, which ends at 3.31: `progress` is the epoch over the
    number of epochs, so that shorter trainings open as far.

    Args:
        progress: Share of the training that is over, in [0, 1].
        final: t at the end, at least 1.

    Raises:
        InputError: When `final` is below 1.
    """
    if final < 1:
        raise InputError(f"final is {final}; it must be at least 1, where the threshold begins.")
    return final**progress


def preview_weights(difficulty: Tensor, threshold: float) -> Tensor:
    """v: 1 up to the threshold, and `exp(-difficulty^2)` beyond.

    The step at the threshold is meant: at 1 it goes from 1 down to 0.37.

    Args:
        difficulty: gamma, `(batch,)`, at least 0.
        threshold: t, above 0.

    Returns:
        `(batch,)`, in [0, 1].
    """
    return torch.where(difficulty <= threshold, 1.0, torch.exp(-(difficulty**2)))


def self_paced_weights(difficulty: Tensor, threshold: float) -> Tensor:
    """1 up to the threshold, 0 beyond: the classic curriculum, for comparison.

    Kumar, Packer, Koller, "Self-Paced Learning for Latent Variable Models", NIPS 2010, eq. 3.

    Args:
        difficulty: `(batch,)`.
        threshold: Above 0.
    """
    return (difficulty <= threshold).to(difficulty.dtype)


def focal_weights(losses: Tensor, *, exponent: float = 2.0) -> Tensor:
    """`(1 - p)^exponent` with p the label's probability: hard samples count more, for comparison.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. 4.

    Args:
        losses: The cross-entropy `-log p`, `(batch,)`.
        exponent: Published 2.

    Returns:
        `(batch,)`, in [0, 1].
    """
    return (-torch.expm1(-losses)) ** exponent
