"""Labels in balance, and changes that are what their labels say."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.pretext import balanced_labels, cut_and_turned


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("count", "kinds"), [(64, 4), (64, 16), (10, 4), (3, 4)])
def test_labels_are_in_balance(count: int, kinds: int) -> None:
    labels = balanced_labels(count, kinds, rng())
    counts = torch.bincount(labels, minlength=kinds)
    assert len(counts) == kinds
    assert counts.max() - counts.min() <= 1


def test_labels_are_in_random_order() -> None:
    one, two = (balanced_labels(64, 4, rng(seed)) for seed in (0, 1))
    assert one.tolist() != two.tolist()
    assert one.tolist() != sorted(one.tolist())


def ramp(count: int) -> torch.Tensor:
    """Images whose brightness is their column: 0 to 1 from left to right."""
    return torch.linspace(0, 1, 20).expand(count, 1, 20, 20).clone()


def test_turns_are_counter_clockwise_quarters() -> None:
    turned = cut_and_turned(ramp(4), torch.arange(4), rng())[:, 0]
    # Bright on the right, at the top, on the left, at the bottom.
    edges = [turned[0, :, -1], turned[1, 0], turned[2, :, 0], turned[3, -1]]
    for number, edge in enumerate(edges):
        torch.testing.assert_close(edge, edge[:1].expand(20))
        assert edge.mean() > turned[number].mean() + 0.3


def test_the_cut_is_two_thirds_of_the_area_at_a_random_place() -> None:
    cut = cut_and_turned(ramp(200), torch.zeros(200, dtype=torch.int64), rng())[:, 0, 10]
    slope = (cut[:, 15] - cut[:, 5]) / 10 * 19
    torch.testing.assert_close(slope, torch.full((200,), 0.665**0.5), rtol=1e-3, atol=1e-3)
    middles = cut[:, 9:11].mean(1)
    assert middles.min() > 0.4
    assert middles.max() < 0.6
    assert middles.std() > 0.04


def test_sixteen_changes_have_four_windows() -> None:
    labels = torch.tensor([4, 8, 12])
    both = torch.stack((ramp(3)[:, 0], ramp(3)[:, 0].transpose(1, 2)), 1)
    across, down = cut_and_turned(both, labels, rng()).unbind(1)
    wide = (across[:, 10, 15] - across[:, 10, 5]) / 10 * 19
    high = (down[:, 15, 10] - down[:, 5, 10]) / 10 * 19
    torch.testing.assert_close(wide, torch.tensor([0.67, 1.0, 1.0]), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(high, torch.tensor([1.0, 1 / 1.32, 1.0]), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(across[2], both[2, 0])  # the whole, not turned


def test_smaller_turns_go_both_ways() -> None:
    # The direction in which brightness rises tells the angle; the middle is free of the border.
    turned = cut_and_turned(ramp(4), torch.arange(4), rng(), degrees=15.0)[:, 0, 6:14, 6:14]
    right = turned[:, :, 1:].sub(turned[:, :, :-1]).mean((1, 2))
    up = turned[:, :-1].sub(turned[:, 1:]).mean((1, 2))
    angles = torch.rad2deg(torch.atan2(up, right))
    torch.testing.assert_close(angles, torch.tensor([0.0, 15, 30, -15]), atol=0.1, rtol=0)


def test_the_images_themselves_stay_as_they_are() -> None:
    images = torch.rand(8, 3, 10, 10)
    before = images.clone()
    cut_and_turned(images, torch.arange(8) % 4, rng())
    assert torch.equal(images, before)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        balanced_labels(0, 4, rng())
    with pytest.raises(InputError, match="square"):
        cut_and_turned(torch.rand(2, 1, 4, 5), torch.zeros(2, dtype=torch.int64), rng())
