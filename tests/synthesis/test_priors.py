"""Image priors against loops over pixels."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.errors import InputError
from bequest.synthesis.priors import l2_prior, total_variation


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def variation_by_loops(batch):
    count, channels, height, width = batch.shape
    total = 0.0
    for n in range(count):
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            squares = 0.0
            for c in range(channels):
                for y in range(height):
                    for x in range(width):
                        if y + down < height and 0 <= x + right < width:
                            other = batch[n, c, y + down, x + right].item()
                            squares += (other - batch[n, c, y, x].item()) ** 2
            total += math.sqrt(squares)
    return total / count


@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (1, 1, 2, 2)])
def test_total_variation_is_the_loop_over_neighbours(shape):
    batch = images(*shape)
    assert total_variation(batch).item() == pytest.approx(variation_by_loops(batch), rel=1e-5)


def test_total_variation_does_not_depend_on_the_batch_size():
    one = images(1, 3, 6, 6)
    assert total_variation(one.repeat(7, 1, 1, 1)).item() == pytest.approx(
        total_variation(one).item(), rel=1e-5
    )


def test_an_image_of_one_colour_has_no_variation_and_gradient_zero():
    flat = torch.full((2, 1, 4, 4), 0.3, requires_grad=True)
    loss = total_variation(flat)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(flat.grad, torch.zeros_like(flat))


def test_descending_total_variation_smooths():
    noisy = images(2, 1, 6, 6).requires_grad_()
    loss = total_variation(noisy)
    loss.backward()
    assert total_variation(noisy - 0.1 * noisy.grad) < loss


def test_l2_is_the_mean_of_the_norms_of_images():
    batch = images(3, 2, 4, 4) - 0.5
    norms = [math.sqrt(sum(v * v for v in image.flatten().tolist())) for image in batch]
    assert l2_prior(batch).item() == pytest.approx(sum(norms) / 3, rel=1e-5)


@pytest.mark.parametrize("shape", [(2, 1, 1, 5), (2, 4, 4)])
def test_images_without_neighbours_are_refused(shape):
    with pytest.raises(InputError, match="2x2"):
        total_variation(torch.zeros(shape))
