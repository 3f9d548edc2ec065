"""Linear measurements of images with their exact adjoints: identity, masked Fourier, Radon.

A map is a pair of functions on batches. What other libraries have fits without a dependency:
`as_linear_map` takes deepinv's linear physics (`A`, `A_adjoint`), SciPy's `LinearOperator`
(`matvec`, `rmatvec`) and matrices. `check_adjoint` finds a pair that does not belong together,
with which no method that minimises a cost converges to its minimum.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.ops.power_iteration import power_iteration


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A linear map from images to measurements.

    Attributes:
        forward: `(batch, 1, height, width)` to measurements `(batch, ...)`, real or complex.
        adjoint: Measurements to images: `<forward(x), y> = <x, adjoint(y)>`, real parts.
        norm: The largest singular value, or an upper bound.
    """

    forward: Callable[[Tensor], Tensor]
    adjoint: Callable[[Tensor], Tensor]
    norm: float = 1.0


def identity() -> LinearMap:
    """The image itself: denoising."""
    return LinearMap(lambda x: x, lambda y: y)


def masked_fourier(mask: Tensor, sensitivities: Tensor | None = None) -> LinearMap:
    """Samples of the orthonormal Fourier transform: magnetic resonance imaging.

    Args:
        mask: `(height, width)` bool: which frequencies are measured, the zero frequency first, as
            `torch.fft.fft2` orders them.
        sensitivities: `(coils, height, width)` complex, of several coils whose squares sum to 1;
            None for one coil that sees all pixels alike.

    Returns:
        Images to `(batch, coils, height, width)` complex, zero where nothing is measured.
    """
    coils = mask.new_ones(1, 1, 1, dtype=torch.float32) if sensitivities is None else sensitivities
    coils, kept = coils[None], mask[None, None]

    def forward(images: Tensor) -> Tensor:
        return torch.fft.fft2(images * coils, norm="ortho") * kept

    def adjoint(measured: Tensor) -> Tensor:
        seen = torch.fft.ifft2(measured * kept, norm="ortho") * coils.conj()
        return seen.real.sum(1, keepdim=True)

    # Fourier and mask do not enlarge; coils by the root of their largest sum of squares.
    return LinearMap(forward, adjoint, float(coils.abs().square().sum(1).max().sqrt()))


def cartesian_mask(
    height: int, width: int, *, acceleration: float, center: float, rng: torch.Generator
) -> Tensor:
    """Columns of the Fourier plane: all of the lowest `center`, the others by chance.

    Args:
        height: Of the image.
        width: Of the image.
        acceleration: How many times fewer columns than all, at least 1.
        center: Share of the columns around frequency zero that are always there, as in fastMRI.
        rng: Draws the others.

    Returns:
        `(height, width)` bool, for `masked_fourier`.
    """
    kept, low = round(width / acceleration), max(1, round(width * center))
    if acceleration < 1 or not low <= kept:
        raise InputError(
            f"acceleration is {acceleration}, center {center}: of {width} columns {kept} are "
            f"measured, which must be all at most and {low} (those of the center) at least."
        )
    distance = torch.fft.fftfreq(width, device=rng.device).abs()
    order = distance.argsort(stable=True)
    drawn = order[low:][torch.randperm(width - low, generator=rng, device=rng.device)]
    columns = torch.zeros(width, dtype=torch.bool, device=rng.device)
    columns[order[:low]] = True
    columns[drawn[: kept - low]] = True
    return columns.expand(height, width).clone()


def parallel_beam(
    side: int, *, angles: int, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> LinearMap:
    """Line integrals of a square image along parallel rays (Radon): computed tomography.

    Each pixel is shared by the two nearest of `ceil(sqrt(2) * side)` bins of the detector. The map
    is a sparse matrix divided by its norm, so that the adjoint is exact and the norm 1; it holds
    `2 * angles * side ** 2` numbers.

    Args:
        side: Pixels a side of the image.
        angles: Directions, evenly over half a turn.
        device: Where the matrix lies.
        dtype: Of its numbers; None is 32 bits.

    Returns:
        Images to sinograms `(batch, angles, bins)`.
    """
    bins = int(np.ceil(np.sqrt(2) * side)) + 1
    theta = np.arange(angles)[:, None] * (np.pi / angles)
    axis = np.arange(side) - (side - 1) / 2
    rows, columns = (grid.reshape(1, -1) for grid in np.meshgrid(axis, axis, indexing="ij"))
    place = columns * np.cos(theta) - rows * np.sin(theta) + (bins - 1) / 2
    left = np.floor(place).astype(np.int64)
    share = place - left
    ray = np.arange(angles)[:, None] * bins + left
    pixel = np.broadcast_to(np.arange(side * side), ray.shape)
    index = np.stack([np.concatenate([ray, ray + 1]).ravel(), np.tile(pixel, (2, 1)).ravel()])
    values = np.concatenate([1 - share, share]).ravel()
    shape = (angles * bins, side * side)
    coordinates = torch.sparse_coo_tensor(
        torch.from_numpy(index), torch.from_numpy(values), shape, check_invariants=False
    ).coalesce()
    return _of_matrix(
        coordinates.to(dtype or torch.float32).to(device), (side, side), (angles, bins)
    )


def as_linear_map(thing: Any, *, image_size: tuple[int, int], device: torch.device) -> LinearMap:
    """A `LinearMap` from what people have.

    Args:
        thing: A `LinearMap`, a pair of functions, an object with `A` and `A_adjoint` (deepinv's
            linear physics), or one with `matvec` and `rmatvec` (SciPy's `LinearOperator`, which
            works on the CPU, image by image), or a matrix `(measurements, height * width)`.
        image_size: `(height, width)`.
        device: Where images lie.

    Returns:
        The map with its norm, found by power iteration where nothing says it.

    Raises:
        InputError: For anything else, or a pair that is not adjoint.
    """
    height, width = image_size
    if isinstance(thing, LinearMap):
        check_adjoint(thing, image_size=image_size, device=device)
        return thing
    if isinstance(thing, Tensor) and thing.ndim == 2 and thing.shape[1] == height * width:
        return _of_matrix(thing.to(device), image_size, (thing.shape[0],))
    if callable(getattr(thing, "A", None)) and callable(getattr(thing, "A_adjoint", None)):
        pair = LinearMap(lambda x: thing.A(x), lambda y: thing.A_adjoint(y))
    elif callable(getattr(thing, "matvec", None)) and callable(getattr(thing, "rmatvec", None)):
        pair = LinearMap(*_of_scipy(thing, image_size, device))
    elif isinstance(thing, tuple) and len(thing) == 2 and all(map(callable, thing)):
        pair = LinearMap(*thing)
    else:
        raise InputError(
            f"A {type(thing).__name__} is no linear measurement of {height}x{width} images. Give "
            "two functions (forward, adjoint), an object with A and A_adjoint or with matvec and "
            f"rmatvec, or a matrix with {height * width} columns."
        )
    check_adjoint(pair, image_size=image_size, device=device)
    norm = operator_norm(pair, image_size=image_size, device=device)
    return LinearMap(pair.forward, pair.adjoint, norm)


def check_adjoint(
    pair: LinearMap, *, image_size: tuple[int, int], device: torch.device, tolerance: float = 1e-3
) -> None:
    """Compares `<forward(x), y>` with `<x, adjoint(y)>` for random x and y.

    Raises:
        InputError: When they differ, or the pair does not take such images.
    """
    rng = torch.Generator(device).manual_seed(0)
    x, other = (
        torch.rand(1, 1, *image_size, generator=rng, device=device, dtype=torch.float32)
        for _ in range(2)
    )
    with torch.no_grad():
        measured, y = pair.forward(x), pair.forward(other)
        # Off the range of the map too, where a wrong adjoint would not show otherwise.
        y = y + y.abs().mean() * torch.randn(y.shape, generator=rng, device=device, dtype=y.dtype)
        back = pair.adjoint(y)
    if back.shape != x.shape:
        raise InputError(f"The adjoint gives {tuple(back.shape)} for images {tuple(x.shape)}.")
    ahead = (measured.conj() * y).real.sum()
    behind = (x * back).sum()
    scale = measured.abs().norm() * y.abs().norm()
    if not bool((ahead - behind).abs() <= tolerance * scale):
        raise InputError(
            f"forward and adjoint do not belong together: <A x, y> is {ahead.item():.6g}, "
            f"<x, A^T y> is {behind.item():.6g}. No minimum would be found. A filtered or scaled "
            "back-projection is no adjoint."
        )


def operator_norm(
    pair: LinearMap, *, image_size: tuple[int, int], device: torch.device, steps: int = 100
) -> float:
    """The largest singular value, from below, by power iteration with a margin of 1 %."""
    start = torch.rand(
        1, 1, *image_size, generator=torch.Generator(device).manual_seed(0), device=device
    )
    square, _ = power_iteration(lambda x: pair.adjoint(pair.forward(x)), start, steps=steps)
    return 1.01 * float(square.detach().sqrt())


def _of_matrix(matrix: Tensor, image_size: tuple[int, int], measured: tuple[int, ...]) -> LinearMap:
    """A matrix, dense or sparse, divided by its norm."""
    transposed = matrix.t()
    if matrix.layout == torch.sparse_coo:
        with warnings.catch_warnings():
            # CSR is called beta; on a CPU it multiplies ten times as fast.
            warnings.filterwarnings("ignore", "Sparse CSR tensor support")
            matrix, transposed = matrix.to_sparse_csr(), transposed.coalesce().to_sparse_csr()
    raw = LinearMap(
        lambda x: (matrix @ x.flatten(1).t()).t().reshape(len(x), *measured),
        lambda y: (transposed @ y.flatten(1).t()).t().reshape(len(y), 1, *image_size),
    )
    start = torch.ones(1, 1, *image_size, device=matrix.device, dtype=matrix.dtype)
    square, _ = power_iteration(lambda x: raw.adjoint(raw.forward(x)), start, steps=50)
    norm = float(square.sqrt())
    return LinearMap(lambda x: raw.forward(x) / norm, lambda y: raw.adjoint(y) / norm)


def _of_scipy(
    operator: Any, image_size: tuple[int, int], device: torch.device
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    def forward(images: Tensor) -> Tensor:
        rows = images.flatten(1).cpu().numpy()
        return torch.from_numpy(np.stack([operator.matvec(row) for row in rows])).to(images)

    def adjoint(measured: Tensor) -> Tensor:
        rows = np.stack([operator.rmatvec(row) for row in measured.flatten(1).cpu().numpy()])
        return torch.from_numpy(rows.real).to(device, torch.float32).view(-1, 1, *image_size)

    return forward, adjoint
