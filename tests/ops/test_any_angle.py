"""Turns by any angle: quarter turns are a case of them."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.rotations import all_quarter_turns, four_turns, turned


def test_a_right_angle_is_a_quarter_turn() -> None:
    images = torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    angles = torch.tensor([90.0, 180.0, -90.0])
    expected = torch.stack([image.rot90(k, (1, 2)) for image, k in zip(images, (1, 2, 3))])
    assert torch.allclose(turned(images, angles), expected, atol=1e-5)
    assert torch.allclose(turned(images, torch.zeros(3)), images, atol=1e-5)


def test_images_need_not_be_square() -> None:
    images = torch.rand(1, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(turned(images, torch.tensor([180.0])), images.flip(2, 3), atol=1e-5)
    # The middle square turns as a square does.
    quarter = turned(images, torch.tensor([90.0]))
    assert torch.allclose(quarter[..., 2:6], images[..., 2:6].rot90(1, (2, 3)), atol=1e-5)


def test_the_four_views_lie_side_by_side_upright_first() -> None:
    images = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(four_turns(images), all_quarter_turns(images))
    views = four_turns(images, degrees=20.0)
    assert torch.equal(views[::4], images)
    for place, angle in ((1, 20.0), (2, 40.0), (3, -20.0)):
        assert torch.allclose(views[place::4], turned(images, torch.full((2,), angle)))
    # In the limit they are the quarter turns, in the same order.
    near = four_turns(images, degrees=90.0 + 1e-4)
    assert torch.allclose(near, all_quarter_turns(images), atol=1e-3)


def test_one_angle_an_image_is_needed() -> None:
    with pytest.raises(InputError, match=r"\(3,\)"):
        turned(torch.rand(2, 1, 4, 4), torch.zeros(3))
