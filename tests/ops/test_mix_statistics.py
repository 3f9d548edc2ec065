"""Mixed moments, by hand and by what they must leave alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.ops.mix_statistics import beta, mix_statistics


def images(count: int = 5) -> Tensor:
    return torch.rand(count, 2, 4, 3, generator=torch.Generator().manual_seed(0))


def one_by_one(x: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """The formula, an image and a channel at a time."""
    out = torch.empty_like(x)
    for i in range(len(x)):
        for c in range(x.shape[1]):
            own, other, s = x[i, c], x[partners[i], c], share[i]
            deviation, theirs = ((v.var(unbiased=True) + 1e-6).sqrt() for v in (own, other))
            standard = (own - own.mean()) / deviation
            out[i, c] = standard * (s * deviation + (1 - s) * theirs)
            out[i, c] += s * own.mean() + (1 - s) * other.mean()
    return out


def test_against_the_formula() -> None:
    x, partners = images(), torch.tensor([2, 0, 1, 4, 3])
    share = torch.tensor([0.0, 0.3, 1.0, 0.5, 0.9])
    torch.testing.assert_close(
        mix_statistics(x, partners, share), one_by_one(x, partners, share), rtol=1e-5, atol=1e-6
    )


def test_by_hand() -> None:
    # Deviations (unbiased) 2 sqrt(1/3) ... of -1, -1, 1, 1 and of the same times 3, plus 10.
    first = torch.tensor([-1.0, -1.0, 1.0, 1.0]).view(1, 1, 2, 2)
    x = torch.cat((first, 3 * first + 10))
    mixed = mix_statistics(x, torch.tensor([1, 0]), torch.tensor([0.75, 0.0]))
    # A quarter of the way: deviation 1.5 times, mean 2.5; all of the way: the first image's.
    assert mixed[0].flatten().tolist() == pytest.approx([1.0, 1.0, 4.0, 4.0], abs=1e-4)
    assert mixed[1].flatten().tolist() == pytest.approx([-1.0, -1.0, 1.0, 1.0], abs=1e-4)


def test_an_image_alone_and_a_whole_share_change_nothing() -> None:
    x, order = images(), torch.tensor([3, 4, 0, 1, 2])
    torch.testing.assert_close(mix_statistics(x, torch.arange(5), torch.rand(5)), x)
    torch.testing.assert_close(mix_statistics(x, order, torch.ones(5)), x)


def test_units_do_not_matter() -> None:
    x, order = images(), torch.tensor([3, 4, 0, 1, 2])
    share = torch.tensor([0.1, 0.5, 0.2, 0.9, 0.4])
    mean, std = torch.tensor([0.4, 0.5]).view(1, 2, 1, 1), torch.tensor([0.2, 0.3]).view(1, 2, 1, 1)
    before = mix_statistics((x - mean) / std, order, share)
    after = (mix_statistics(x, order, share) - mean) / std
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)


def test_moments_take_no_gradient() -> None:
    x = images(2).requires_grad_()
    mix_statistics(x, torch.tensor([1, 0]), torch.zeros(2)).sum().backward()
    # With the moments held, each pixel is scaled alone: sigma of the partner over one's own.
    deviation = (x.detach().var(dim=(2, 3)) + 1e-6).sqrt()
    expected = (deviation.flip(0) / deviation)[:, :, None, None].expand_as(x)
    torch.testing.assert_close(x.grad, expected)


def test_shapes_are_checked() -> None:
    with pytest.raises(InputError, match="as many partners"):
        mix_statistics(images(3), torch.arange(2), torch.ones(3))


@pytest.mark.parametrize("concentration", [0.01, 0.1, 1.0, 8.0])
def test_beta_has_the_moments_of_its_distribution(concentration: float) -> None:
    draws = beta(20_000, concentration, torch.Generator().manual_seed(1))
    assert draws.isfinite().all()
    assert draws.min() >= 0
    assert draws.max() <= 1
    assert draws.mean().item() == pytest.approx(0.5, abs=0.02)
    assert draws.var().item() == pytest.approx(0.25 / (2 * concentration + 1), rel=0.05)


def test_beta_follows_its_generator() -> None:
    one, two = (beta(8, 0.1, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
