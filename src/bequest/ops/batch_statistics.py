"""Batch statistics of an activation, and the eval-mode batch norm that gives them on the side.

DeepInversion (Yin et al., CVPR 2020, eq. 4) pulls the mean and the variance of each channel of
every BatchNorm input towards the layer's running statistics. Written with ordinary tensor
operations, this costs as much as the network itself. Here one statistics kernel reads the
activation, and the backward pass of both statistics is one multiply-add on it: with ``n`` values a
channel,

    d mean / d x = 1 / n            d var / d x = 2 (x - mean) / n

so that ``grad_x = a * x + b`` with ``a = 2 grad_var / n`` and ``b = grad_mean / n - a * mean``.

Shapes: an activation ``x`` is ``(batch, channels, ...)`` with any number of further axes, in any
memory format (channels-last is the fast one on a CPU); each statistic is ``(channels,)``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from bequest.errors import InputError

# On a CPU the channels-last kernel adds the rows of a column one after the other in float32. A
# matrix of about this many columns holds several rows of the activation side by side: the partial
# sums are 10 to 100 times more exact, and narrow activations fill the vector registers. Fewer rows
# than this are not worth it.
_ROW_LENGTH = 1024


def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel, over the batch and all other axes.

    Args:
        x: activation ``(batch, channels, ...)`` of a floating dtype.

    Returns:
        ``(mean, var)``, each ``(channels,)``, ``var`` >= 0: float64 for float64 input, otherwise
        float32. Gradients flow to ``x``, once: there is no second derivative.

    Raises:
        InputError: if ``x`` has fewer than two axes, no values or no floating dtype.

    Example:
        >>> mean, var = batch_statistics(torch.tensor([[1.0, 4.0], [3.0, 4.0]]))
        >>> mean.tolist(), var.tolist()
        ([2.0, 4.0], [1.0, 0.0])
    """
    _check(x)
    mean, var = _BatchStatistics.apply(x)
    return mean, var


def batch_norm_with_statistics(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    """Eval-mode batch norm of ``x``, together with the statistics of the batch itself.

    The output is that of ``torch.nn.functional.batch_norm(..., training=False)``, bit for bit. The
    backward pass is ``grad_x = grad_y * scale + a * x + b``, where ``scale = weight /
    sqrt(running_var + eps)`` and the gradients of the statistics give ``a`` and ``b``. For ``x`` of
    half width, ``scale`` is rounded to its dtype there; ``a`` and ``b`` are not.

    Args:
        x: activation ``(batch, channels, ...)`` of a floating dtype.
        running_mean: stored means ``(channels,)``, constants.
        running_var: stored variances ``(channels,)``, >= 0, constants.
        weight: scale ``(channels,)``; None stands for one.
        bias: offset ``(channels,)``; None stands for zero.
        eps: added to the stored variance, > 0.

    Returns:
        ``(y, mean, var)``: ``y`` like ``x``, the statistics as in :func:`batch_statistics`.
        Gradients flow to ``x``, ``weight`` and ``bias``, once.

    Raises:
        InputError: if ``x`` is no activation, or if the running statistics require a gradient.
    """
    _check(x)
    if running_mean.requires_grad or running_var.requires_grad:
        raise InputError(
            "running_mean or running_var requires a gradient, but running statistics are "
            "constants here. Pass them detached."
        )
    y, mean, var = _BatchNormWithStatistics.apply(x, running_mean, running_var, weight, bias, eps)
    return y, mean, var


def _check(x: Tensor) -> None:
    if x.ndim < 2 or x.numel() == 0 or not x.is_floating_point():
        raise InputError(
            "Batch statistics need a floating tensor (batch, channels, ...) with at least one "
            f"value, not one of shape {tuple(x.shape)} and {x.dtype}."
        )


def _rows(x: Tensor) -> Tensor | None:
    """A view ``(batch * ... / lanes, lanes * channels)``, or None if channels are not innermost."""
    inner = x.movedim(1, -1)
    if not inner.is_contiguous():
        return None
    channels = x.shape[1]
    count = x.numel() // channels
    fitting = max(1, _ROW_LENGTH // channels) if count > _ROW_LENGTH else 1
    lanes = math.gcd(count, 1 << (fitting.bit_length() - 1))
    return inner.view(count // lanes, lanes * channels)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel, in float32 or wider."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    if x.device.type == "cuda":  # this kernel accumulates and answers in float32 of itself
        mean, var = torch.batch_norm_update_stats(x, None, None, 0.0)
        return mean, var
    if x.device.type != "cpu":
        var, mean = torch.var_mean(x.to(dtype), [0, *range(2, x.ndim)], correction=0)
        return mean, var
    rows, channels = _rows(x), x.shape[1]
    matrix = x if rows is None else rows
    # The dtype of the answer is that of the running statistics which the kernel would update;
    # momentum 0 leaves them alone, so that one tensor serves as both.
    running = torch.zeros(matrix.shape[1], dtype=dtype)
    mean, var = torch.batch_norm_update_stats(matrix, running, running, 0.0)
    if mean.shape[0] == channels:
        return mean, var
    # Variance of the whole: mean of the lanes' variances plus variance of their means.
    lane_mean = mean.view(-1, channels)
    mean = lane_mean.mean(0)
    return mean, var.view(-1, channels).mean(0).add_((lane_mean - mean).square_().mean(0))


def _multiply_add(x: Tensor, factor: Tensor, center: Tensor, offset: Tensor | None) -> Tensor:
    """``(x - center) * factor + offset`` by channel, in one pass and in float32 inside.

    The eval-mode batch-norm kernel with variance 1 and eps 0 does just that. Broadcast arithmetic
    would round its arguments to the dtype of ``x`` first, and leave little of ``x - center`` where
    the mean of a channel is large.
    """
    one = torch.ones_like(factor)
    y: Tensor = torch.native_batch_norm(x, factor, offset, center, one, False, 0.0, 0.0)[0]
    return y


def _add_scaled(total: Tensor, x: Tensor, scale: Tensor) -> Tensor:
    """Adds ``x * scale`` by channel to ``total``, in place."""
    scale = scale.to(total.dtype)
    total_rows, rows = _rows(total), _rows(x)
    if total_rows is None or rows is None:
        return total.addcmul_(x, scale.view(-1, *[1] * (x.ndim - 2)))
    lanes = rows.shape[1] // scale.shape[0]
    total_rows.addcmul_(rows, scale.expand(lanes, -1).reshape(-1))
    return total


def _statistics_gradient(
    x: Tensor, mean: Tensor, grad_mean: Tensor | None, grad_var: Tensor | None
) -> Tensor:
    """``a * x + b`` (module docstring) for the gradients of the two statistics."""
    count = x.numel() // x.shape[1]
    a = torch.zeros_like(mean) if grad_var is None else grad_var * (2 / count)
    return _multiply_add(x, a, mean, None if grad_mean is None else grad_mean / count)


class _BatchStatistics(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = _statistics(x)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, mean)
        return mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mean: Tensor | None, grad_var: Tensor | None) -> Tensor:
        x, mean = ctx.saved_tensors
        return _statistics_gradient(x, mean, grad_mean, grad_var)


class _BatchNormWithStatistics(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, var = _statistics(x)
        y = torch.native_batch_norm(x, weight, bias, running_mean, running_var, False, 0.0, eps)[0]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, mean, running_mean, running_var, weight)
        ctx.eps = eps
        return y, mean, var

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_y: Tensor | None, grad_mean: Tensor | None, grad_var: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x, mean, running_mean, running_var, weight = ctx.saved_tensors
        needs_x, _, _, needs_weight, needs_bias, _ = ctx.needs_input_grad
        inverse_deviation = torch.rsqrt(running_var.to(mean.dtype) + ctx.eps)
        grad_x = grad_weight = grad_bias = None
        if needs_x:
            scale = inverse_deviation if weight is None else inverse_deviation * weight
            if grad_mean is None and grad_var is None:
                if grad_y is not None:
                    grad_x = _multiply_add(grad_y, scale, torch.zeros_like(scale), None)
            else:
                grad_x = _statistics_gradient(x, mean, grad_mean, grad_var)
                if grad_y is not None:
                    grad_x = _add_scaled(grad_x, grad_y, scale)
        if grad_y is not None and (needs_weight or needs_bias):
            _, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
                grad_y,
                x,
                weight,
                running_mean,
                running_var,
                running_mean.to(mean.dtype),
                inverse_deviation,
                False,
                ctx.eps,
                [False, needs_weight, needs_bias],
            )
        return grad_x, None, None, grad_weight, grad_bias, None
