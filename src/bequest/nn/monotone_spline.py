"""Learnable increasing functions, one a channel, and their convex integrals."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bequest.errors import InputError


class MonotoneSpline(nn.Module):
    """A linear spline a channel that rises, is 0 at 0 and constant outside its knots.

    Alexis Goujon and others, "A Neural-Network-Based Convex Regularizer for Inverse Problems",
    IEEE Transactions on Computational Imaging 2023, section III. Coefficients are the values at
    uniform knots, projected at each use: negative slopes become 0, and so do the first and the last
    (Trap: otherwise slopes, and with them the Lipschitz bound, would go on outside the knots).

    Args:
        channels: How many functions.
        knots: Odd, 5 or more, so that one is at 0.
        knot_range: Knots go from `-knot_range` to `knot_range`.

    Shapes:
        Values are `(batch, channels, ...)`.
    """

    def __init__(self, channels: int, *, knots: int = 21, knot_range: float = 0.1) -> None:
        super().__init__()
        if knots < 5 or knots % 2 == 0 or knot_range <= 0:
            raise InputError(
                f"knots is {knots} and knot_range {knot_range}: there must be an odd number of "
                "knots, 5 or more, so that one lies at 0, over a range above 0."
            )
        self.knots, self.knot_range = knots, knot_range
        self.step = 2 * knot_range / (knots - 1)
        self.coefficients = nn.Parameter(torch.zeros(channels, knots))

    def projected(self) -> Tensor:
        """The values at the knots, `(channels, knots)`: rising, 0 at 0, flat at both ends."""
        # Trap: clamp, not relu, whose gradient at 0, where all slopes start, is 0.
        slopes = self.coefficients.diff(dim=1)[:, 1:-1].clamp(min=0)
        flat = slopes.new_zeros(len(slopes), 2)
        values = torch.cat([flat, slopes.cumsum(1)], 1)
        values = torch.cat([values, values[:, -1:]], 1)
        return values - values[:, self.knots // 2, None]

    def forward(self, x: Tensor) -> Tensor:
        """The functions of x."""
        values = self.projected()
        slopes = values.diff(dim=1) / self.step
        reach = self.knot_range
        left = torch.linspace(-reach, reach, self.knots, dtype=x.dtype, device=x.device)[:-1]
        # Each segment as a line `offset + slope x`: two look-ups a value, which are most of the
        # cost. The first and the last segment are flat and serve the tails too.
        flattened, index = x.flatten(2), self._segment(x)
        offset = self._at(values[:, :-1] - slopes * left, index)
        return torch.addcmul(offset, self._at(slopes, index), flattened).view_as(x)

    def integral(self, x: Tensor) -> Tensor:
        """The antiderivatives of x: convex, 0 at 0, quadratic between knots, linear outside."""
        values = self.projected()
        areas = self.step * (values[:, 1:] + values[:, :-1]).cumsum(1) / 2
        areas = torch.cat([areas.new_zeros(len(areas), 1), areas], 1)
        areas = areas - areas[:, self.knots // 2, None]
        index = self._segment(x)
        fraction = (x.flatten(2) + self.knot_range) / self.step - index
        left, rise = self._at(values[:, :-1], index), self._at(values.diff(dim=1), index)
        area = self.step * (left * fraction + rise * fraction**2 / 2)
        return (self._at(areas[:, :-1], index) + area).view_as(x)

    def largest_slope(self) -> Tensor:
        """The largest derivative of each function, `(channels,)`."""
        return self.projected().diff(dim=1).amax(1) / self.step

    def bends(self) -> Tensor:
        """TV2 of each function, `(channels,)`: the sum of the changes of its slope at the knots.

        As a penalty it leaves few knots where the function bends.
        """
        return self.projected().diff(n=2, dim=1).abs().sum(1) / self.step

    def _segment(self, x: Tensor) -> Tensor:
        """The segment that each value lies in, the first and the last for the tails."""
        place = (x.detach().flatten(2) + self.knot_range) / self.step
        return place.clamp(0, self.knots - 1.5).long()

    @staticmethod
    def _at(table: Tensor, index: Tensor) -> Tensor:
        """`table[channel, index]`, `(batch, channels, places)`."""
        return table.expand(len(index), -1, -1).gather(2, index)


class ShiftedReLU(nn.Module):
    """`relu(x + bias)`, one bias a channel: what splines are compared with.

    Its integral is `relu(x + bias)^2 / 2`. Interface and shapes are `MonotoneSpline`'s.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The functions of x."""
        return (x.flatten(2) + self.bias[:, None]).relu().view_as(x)

    def integral(self, x: Tensor) -> Tensor:
        """The antiderivatives of x: convex."""
        return self.forward(x).square() / 2

    def largest_slope(self) -> Tensor:
        """1 for each function, `(channels,)`."""
        return torch.ones_like(self.bias)

    def bends(self) -> Tensor:
        """Each function bends once, by 1: a constant, which penalises nothing."""
        return torch.ones_like(self.bias)
