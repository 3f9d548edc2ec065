"""Batch statistics of an activation, and the eval-mode batch norm that gives them on the side.

DeepInversion (Yin et al., CVPR 2020, eq. 4) pulls the per-channel mean and variance of every
BatchNorm input towards the layer's running statistics. Written with ordinary tensor operations
this costs more than the network itself. Here one statistics kernel reads the activation, and the
backward pass of both statistics is one multiply-add on it: with `n` values in each channel,

    d mean / d x = 1 / n            d var / d x = 2 (x - mean) / n

so that `grad_x = a * x + b`, with `a = 2 grad_var / n` and `b = grad_mean / n - a * mean`.

Shapes: `x` is `(batch, channels, ...)` with any number of further axes, contiguous or
channels-last; every statistic is `(channels,)`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from bequest.errors import InputError

# The channels-last kernel of the CPU adds up the rows of each column one after the other in
# float32. A matrix this wide holds several rows of the activation side by side: their partial
# sums are 10 to 100 times more exact, and narrow activations fill the vector registers.
_LANE_WIDTH = 1024


def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel over the batch and all other axes.

    Args:
        x: activation `(batch, channels, ...)`, a floating dtype.

    Returns:
        `(mean, var)`, each `(channels,)`: float64 for float64 input, otherwise float32. Gradients
        flow to `x`; they cannot be differentiated again.

    Raises:
        InputError: `x` has fewer than two axes, no values or no floating dtype.
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
    """Eval-mode batch norm of `x`, and the statistics of the batch itself.

    The output equals `torch.nn.functional.batch_norm(..., training=False)` to the last bit. The
    backward pass is `grad_x = grad_y * scale + a * x + b`, with `scale = weight / sqrt(running_var
    + eps)` and `a`, `b` from the gradients of the two statistics (module docstring).

    Args:
        x: activation `(batch, channels, ...)`, a floating dtype.
        running_mean: stored means `(channels,)`; they get no gradient.
        running_var: stored variances `(channels,)`, >= 0; they get no gradient.
        weight: scale `(channels,)` or None for one.
        bias: offset `(channels,)` or None for zero.
        eps: added to the stored variance, > 0.

    Returns:
        `(y, mean, var)`: `y` like `x`; the statistics as in `batch_statistics`.

    Raises:
        InputError: `x` is not an activation, or the running statistics want a gradient.
    """
    _check(x)
    if running_mean.requires_grad or running_var.requires_grad:
        raise InputError(
            "running_mean or running_var requires a gradient, but running statistics are constants "
            "here. Pass them detached."
        )
    y, mean, var = _BatchNormWithStatistics.apply(x, running_mean, running_var, weight, bias, eps)
    return y, mean, var


def _check(x: Tensor) -> None:
    if x.ndim < 2 or x.numel() == 0 or not x.is_floating_point():
        raise InputError(
            f"Batch statistics need a floating tensor (batch, channels, ...) with at least one "
            f"value, not shape {tuple(x.shape)} of {x.dtype}."
        )


def _accumulation_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel, without a graph."""
    dtype = _accumulation_dtype(x)
    if x.device.type == "cuda":  # accumulates in float32 and returns it, whatever `x` is
        return torch.batch_norm_update_stats(x, None, None, 0.0)
    if x.device.type != "cpu":
        axes = [0, *range(2, x.ndim)]
        var, mean = torch.var_mean(x.to(dtype), axes, correction=0)
        return mean, var
    channels = x.shape[1]
    rows = x.movedim(1, -1)
    lanes = 1
    if rows.is_contiguous():
        count = x.numel() // channels
        lanes = math.gcd(count, 1 << (max(1, _LANE_WIDTH // channels).bit_length() - 1))
        x = rows.reshape(count // lanes, lanes * channels)
    # The kernel takes the dtype of its results from the running statistics that it would update;
    # with momentum 0 it leaves them as they are.
    unused = torch.zeros(lanes * channels, dtype=dtype)
    mean, var = torch.batch_norm_update_stats(x, unused, unused.clone(), 0.0)
    if lanes == 1:
        return mean, var
    lane_mean = mean.view(lanes, channels)
    mean = lane_mean.mean(0)
    between = (lane_mean - mean).square_().mean(0)
    return mean, var.view(lanes, channels).mean(0).add_(between)


def _multiply_add(x: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    """`x * factor + offset` by channel; `factor` and `offset` stay float32 for half-width `x`.

    The eval-mode batch-norm kernel with mean 0, variance 1 and eps 0 is that operation; broadcast
    arithmetic would have to round the two to the dtype of `x` first.
    """
    zero, one = torch.zeros_like(factor), torch.ones_like(factor)
    y: Tensor = torch.native_batch_norm(x, factor, offset, zero, one, False, 0.0, 0.0)[0]
    return y


def _statistics_gradient(
    x: Tensor, mean: Tensor, grad_mean: Tensor | None, grad_var: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The `a` and `b` of `grad_x = a * x + b`."""
    count = x.numel() // x.shape[1]
    a = torch.zeros_like(mean) if grad_var is None else grad_var * (2.0 / count)
    b = -a * mean
    return a, b if grad_mean is None else b.add_(grad_mean, alpha=1.0 / count)


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
        return _multiply_add(x, *_statistics_gradient(x, mean, grad_mean, grad_var))


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
        grad_x = grad_weight = grad_bias = None
        scale = torch.rsqrt(running_var.to(mean.dtype) + ctx.eps)
        if grad_y is not None and (ctx.needs_input_grad[3] or ctx.needs_input_grad[4]):
            ...
        if ctx.needs_input_grad[0]:
            if weight is not None: scale = scale * weight
            if V == 1:
                grad_x = _multiply_add(x, *_statistics_gradient(x, mean, grad_mean, grad_var))
                if grad_y is not None:
                    grad_x.add_(_multiply_add(grad_y, scale, torch.zeros_like(scale)))
            elif V == 2:
                grad_x = _multiply_add(x, *_statistics_gradient(x, mean, grad_mean, grad_var))
                k=max(1, 1024//x.shape[1])
                f=lambda t: t.movedim(1,-1).reshape(-1,k*t.shape[1])
                t=f(grad_x)
                torch.addcmul(t, f(grad_y), scale.to(x.dtype).repeat(k), out=t)
        return grad_x, None, None, grad_weight, grad_bias, None
V=1
