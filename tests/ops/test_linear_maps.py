"""Every map has its exact adjoint and its norm; what people have is taken or refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import aslinearoperator

from bequest.errors import InputError
from bequest.ops.linear_maps import (
    LinearMap,
    as_linear_map,
    cartesian_mask,
    check_adjoint,
    identity,
    masked_fourier,
    operator_norm,
    parallel_beam,
)

SIDE = 12
CPU = torch.device("cpu")
OPTIONS = {"image_size": (SIDE, SIDE), "device": CPU}


def coils() -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    raw = torch.randn(3, SIDE, SIDE, generator=rng, dtype=torch.complex64)
    return raw / raw.abs().square().sum(0).sqrt()


def mask() -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return cartesian_mask(SIDE, SIDE, acceleration=3, center=0.1, rng=rng)


MAPS = {
    "identity": identity(),
    "fourier": masked_fourier(mask()),
    "coils": masked_fourier(mask(), coils()),
    "radon": parallel_beam(SIDE, angles=7),
}


@pytest.mark.parametrize("name", MAPS)
def test_the_adjoint_is_exact_and_the_norm_right(name: str) -> None:
    check_adjoint(MAPS[name], **OPTIONS, tolerance=1e-5)
    found = operator_norm(MAPS[name], **OPTIONS) / 1.01
    assert found <= MAPS[name].norm * 1.0001
    if name in ("identity", "fourier", "radon"):
        assert found == pytest.approx(MAPS[name].norm, rel=1e-2)


def test_the_mask_has_the_center_and_so_many_columns() -> None:
    columns = mask()[0]
    assert mask().shape == (SIDE, SIDE)
    assert columns.sum() == 4
    assert columns[0]
    with pytest.raises(InputError, match="acceleration is 30"):
        cartesian_mask(SIDE, SIDE, acceleration=30, center=0.1, rng=torch.Generator())


def test_what_is_measured_is_the_fourier_transform() -> None:
    image = torch.rand(1, 1, SIDE, SIDE)
    measured = MAPS["fourier"].forward(image)[0, 0]
    reference = np.fft.fft2(image[0, 0].numpy(), norm="ortho")
    assert np.allclose(measured.numpy(), reference * mask().numpy(), atol=1e-5)


def test_rays_sum_what_they_pass() -> None:
    """Straight down the columns are summed; every direction sees the whole mass."""
    image = torch.rand(2, 1, SIDE, SIDE)
    measured = MAPS["radon"].forward(image)
    mass = measured.sum(2)
    assert torch.allclose(mass, mass[:, :1].expand_as(mass), rtol=1e-4)
    scale = image[0].sum() / mass[0, 0]
    bins = measured.shape[2]
    even = (bins - SIDE) % 2 == 0
    if even:
        first = (bins - SIDE) // 2
        down = measured[0, 0, first : first + SIDE] * scale
        assert torch.allclose(down, image[0, 0].sum(0), rtol=1e-3)


def test_rays_agree_with_scikit_image() -> None:
    transform = pytest.importorskip("skimage.transform", reason="needs scikit-image")
    side, angles = 33, 6
    grid = torch.linspace(-1, 1, side)
    smooth = torch.exp(-4 * ((grid[:, None] - 0.2) ** 2 + 2 * (grid + 0.1) ** 2))
    smooth = smooth * ((grid[:, None] ** 2 + grid**2) < 0.9)
    ours = parallel_beam(side, angles=angles).forward(smooth[None, None])[0]
    theirs = transform.radon(smooth.numpy(), np.arange(angles) * 180 / angles)
    center = ours.shape[1] // 2
    ours = ours[:, center - side // 2 : center - side // 2 + side].numpy()
    ours = ours * theirs[:, 0].sum() / ours[0].sum()
    correlation = [np.corrcoef(ours[k], theirs[:, k])[0, 1] for k in range(angles)]
    assert min(correlation) > 0.99


def test_what_people_have_is_taken() -> None:
    matrix = np.random.default_rng(0).normal(size=(20, SIDE * SIDE)).astype(np.float32)
    tensor = torch.from_numpy(matrix)
    image = torch.rand(2, 1, SIDE, SIDE)
    expected = image.flatten(1) @ tensor.t()
    things = {
        "scipy": aslinearoperator(matrix),
        "deepinv": SimpleNamespace(
            A=lambda x: x.flatten(1) @ tensor.t(),
            A_adjoint=lambda y: (y @ tensor).view(-1, 1, SIDE, SIDE),
        ),
        "pair": (
            lambda x: x.flatten(1) @ tensor.t(),
            lambda y: (y @ tensor).view(-1, 1, SIDE, SIDE),
        ),
    }
    for name, thing in things.items():
        taken = as_linear_map(thing, **OPTIONS)
        assert torch.allclose(taken.forward(image), expected, atol=1e-4), name
        assert taken.norm == pytest.approx(1.01 * np.linalg.norm(matrix, 2), rel=1e-2), name
    scaled = as_linear_map(tensor, **OPTIONS)
    largest = float(np.linalg.norm(matrix, 2))
    assert torch.allclose(scaled.forward(image) * largest, expected, rtol=1e-2, atol=1e-2)


def test_what_is_no_pair_is_refused() -> None:
    filtered = (lambda x: x, lambda y: 2 * y)
    with pytest.raises(InputError, match="do not belong together"):
        as_linear_map(filtered, **OPTIONS)
    with pytest.raises(InputError, match="do not belong together"):
        as_linear_map(LinearMap(lambda x: x.roll(1, 2), lambda y: y), **OPTIONS)
    with pytest.raises(InputError, match="A str is no linear measurement"):
        as_linear_map("radon", **OPTIONS)
    with pytest.raises(InputError, match=r"The adjoint gives \(1, 144\)"):
        as_linear_map((lambda x: x, lambda y: y.flatten(1)), **OPTIONS)
