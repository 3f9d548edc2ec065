"""A convex function of images that is learnt: one-dimensional convex functions of filtered pixels.

Alexis Goujon, Sebastian Neumayer, Pakshal Bohra, Stanislas Ducotterd, Michael Unser, "A
Neural-Network-Based Convex Regularizer for Inverse Problems", IEEE Transactions on Computational
Imaging 2023. With filters W and convex functions psi whose derivatives sigma are increasing,

    R(x) = sum_i sum_p psi_i((W x)_i[p])      gradient R'(x) = W^T sigma(W x)
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.monotone_spline import MonotoneSpline, ShiftedReLU
from bequest.ops.power_iteration import power_iteration

_EIGEN_SIDE = 20  # of the image whose eigenvector is followed during training


class ConvexRidgeRegularizer(nn.Module):
    """R, its gradient and a bound on the gradient's Lipschitz constant.

    Args:
        channels: Of the chain of convolutions; the first is 1, the last the number of filters.
        kernel_size: Of each convolution, odd.
        knots: Of each spline, odd.
        knot_range: Of the splines, for images in [0, 1].
        activation: Splines, or shifted ReLUs, which the paper compares them with.

    Shapes:
        Images are `(batch, 1, height, width)`, in [0, 1] or about.

    Raises:
        InputError: For sizes that make no filters.
    """

    eigenvector: Tensor

    def __init__(
        self,
        *,
        channels: Sequence[int] = (1, 8, 32),
        kernel_size: int = 7,
        knots: int = 21,
        knot_range: float = 0.1,
        activation: Literal["spline", "relu"] = "spline",
    ) -> None:
        super().__init__()
        if len(channels) < 2 or channels[0] != 1 or min(channels) < 1 or kernel_size % 2 == 0:
            raise InputError(
                f"channels are {tuple(channels)} and kernel_size is {kernel_size}: channels must "
                "begin with 1 (grey images) and end with the filters, the kernel must be odd."
            )
        self.kernels = nn.ParameterList(
            nn.Conv2d(inputs, outputs, kernel_size, bias=False).weight
            for inputs, outputs in itertools.pairwise(channels)
        )
        self.activation: MonotoneSpline | ShiftedReLU = (
            MonotoneSpline(channels[-1], knots=knots, knot_range=knot_range)
            if activation == "spline"
            else ShiftedReLU(channels[-1])
        )
        # ReLUs have slope 1 from the start, splines slope 0: the authors' code starts them so.
        self.raw_strength = nn.Parameter(torch.tensor(5.0 if activation == "spline" else 5e-3))
        self.raw_scale = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("eigenvector", torch.rand(1, 1, _EIGEN_SIDE, _EIGEN_SIDE))
        with torch.no_grad():
            norm = self._filter_norm(40, steps=20)
            for kernel in self.kernels:
                kernel /= norm ** (1 / len(self.kernels))

    @property
    def strength(self) -> Tensor:
        """Lambda, learnt as part of the denoiser."""
        return self.raw_strength.clamp(min=1e-4)

    @property
    def scale(self) -> Tensor:
        """mu, learnt as part of the denoiser."""
        return self.raw_scale.clamp(min=0.01)

    def weights(self) -> list[Tensor]:
        """The kernels as used: each output has mean 0 over its inputs and pixels."""
        return [kernel - kernel.mean((1, 2, 3), keepdim=True) for kernel in self.kernels]

    def filtered(self, x: Tensor) -> Tensor:
        """W x, `(batch, filters, height, width)`."""
        for weight in self.weights():
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        return x

    def filtered_adjoint(self, y: Tensor) -> Tensor:
        """W^T y. Trap: with another border than `filtered`'s, R' would be no gradient."""
        for weight in reversed(self.weights()):
            # As a convolution with mirrored kernels, which a CPU does faster than a transposed one.
            mirrored = weight.flip(2, 3).transpose(0, 1)
            y = F.conv2d(y, mirrored, padding=weight.shape[-1] // 2)
        return y

    def gradient(self, x: Tensor) -> Tensor:
        """R'(x)."""
        return self.filtered_adjoint(self.activation(self.filtered(x)))

    def cost(self, x: Tensor) -> Tensor:
        """R(x), `(batch,)`."""
        return self.activation.integral(self.filtered(x)).flatten(1).sum(1)

    def forward(self, x: Tensor) -> Tensor:
        """R'(x)."""
        return self.gradient(x)

    def estimated_lipschitz(self, *, steps: int = 2) -> Tensor:
        """L, differentiable, from below: a few power iterations, which go on from call to call."""
        norm, self.eigenvector = power_iteration(self._curvature, self.eigenvector, steps=steps)
        return norm

    @torch.no_grad()
    def lipschitz(self, *, side: int = 64, steps: int = 200) -> float:
        """L >= || W^T diag(largest slopes) W ||, for images of any size.

        Away from the border, W^T diag W is one convolution, whose norm is the maximum of its
        Fourier transform: bounded from above within 1 %, without iteration. What the border adds,
        power iteration on an image with a border sees; the larger of both is returned.
        """
        start = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
        power, _ = power_iteration(self._curvature, start.to(self.raw_scale), steps=steps)
        return max(power.item(), self._fourier_norm())

    @torch.no_grad()
    def impulse_responses(self) -> Tensor:
        """The chains of kernels as one filter each, `(filters, 1, side, side)`."""
        reach = sum(kernel.shape[-1] // 2 for kernel in self.kernels)
        impulse = self.raw_scale.new_zeros(1, 1, 2 * reach + 1, 2 * reach + 1)
        impulse[..., reach, reach] = 1
        # A convolution answers with the filter seen in a mirror.
        return self.filtered(impulse).transpose(0, 1).flip(2, 3)

    @torch.no_grad()
    def pruned(self, threshold: float = 1e-4) -> ConvexRidgeRegularizer:
        """A copy without the filters that hardly contribute; at least one stays.

        Args:
            threshold: Of the bends of a function times the energy of its filter.
        """
        energy = self.impulse_responses().square().flatten(1).sum(1)
        worth = energy * self.activation.bends()
        kept = (worth > threshold).nonzero().flatten()
        kept = kept if len(kept) else worth.argmax()[None]
        smaller = copy.deepcopy(self)
        smaller.kernels[-1] = nn.Parameter(self.kernels[-1][kept].clone())
        for name, values in self.activation.named_parameters():
            setattr(smaller.activation, name, nn.Parameter(values[kept].clone()))
        return smaller

    def extra_repr(self) -> str:
        """Filters and their size."""
        side = self.kernels[0].shape[-1]
        chain = " -> ".join(str(k.shape[1]) for k in self.kernels)
        return f"{chain} -> {len(self.kernels[-1])} channels, kernels {side}x{side}"

    def _curvature(self, x: Tensor) -> Tensor:
        slopes = self.activation.largest_slope()[:, None, None]
        return self.filtered_adjoint(slopes * self.filtered(x))

    def _fourier_norm(self) -> float:
        """The maximum over frequencies of `sum_i slope_i |w_i|^2`, from above."""
        responses, slopes = self.impulse_responses(), self.activation.largest_slope()
        side = responses.shape[-1]
        grid, degree = 32 * side, side - 1
        spectrum = torch.fft.rfft2(responses.flatten(0, 1), s=(grid, grid)).abs().square()
        found = float((slopes[:, None, None] * spectrum).sum(0).max())
        # A trigonometric polynomial of that degree is nowhere larger between the grid's points
        # (Ehlich, Zeller 1964), once for each axis.
        return found / math.cos(math.pi * degree / grid) ** 2

    def _filter_norm(self, side: int, *, steps: int) -> float:
        start = torch.randn(1, 1, side, side)
        square, _ = power_iteration(
            lambda x: self.filtered_adjoint(self.filtered(x)), start, steps=steps
        )
        return math.sqrt(square.item())
