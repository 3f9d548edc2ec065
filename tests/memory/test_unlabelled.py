"""What a pool must be, and how it is divided."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.memory.unlabelled import UnlabelledPool

SIZE = (3, 4, 5)


def images(count: int = 200) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, *SIZE), generator=rng, dtype=torch.uint8)


def pool(pixels: Tensor) -> UnlabelledPool:
    return UnlabelledPool(pixels, image_size=SIZE, device=torch.device("cpu"))


def test_every_sixteenth_is_held_back() -> None:
    pixels = images()
    divided = pool(pixels)
    assert torch.equal(divided.held_back, pixels[15::16])
    assert len(divided) == len(divided.training) == 200 - 12
    assert divided.training.is_contiguous(memory_format=torch.channels_last)


def test_of_many_512_are_held_back() -> None:
    assert len(pool(images(20_000)).held_back) == 512


def test_taking_is_indexing() -> None:
    divided = pool(images())
    places = torch.tensor([5, 0, 5])
    taken = divided.take(places)
    assert torch.equal(taken, divided.training[places])
    assert taken.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (images()[:0], "has 0 images; at least 64"),
        (images(63), "has 63 images; at least 64"),
        (images().float(), "uint8 of size"),
        (images()[:, :, :, :3], r"\(3, 4, 3\); uint8 of size \(3, 4, 5\)"),
        (images()[:, :, :1, :1].expand(-1, -1, 4, 5), "of one colour"),
        (images()[:1].expand(80, -1, -1, -1), "are the same"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(pixels: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pool(pixels)
