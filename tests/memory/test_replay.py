"""The ring: what stays, where it lies, what a draw counts."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.memory.pool import ImagePool
from bequest.memory.replay import ReplayBuffer, to_bytes, to_floats


def numbers(*values: int) -> dict[str, torch.Tensor]:
    return {"x": torch.tensor(values)}


def test_a_ring_overwrites_its_oldest() -> None:
    buffer = ReplayBuffer(5)
    # The same as a list of the last five, whatever the block sizes.
    written: list[int] = []
    for block in ([0, 1, 2], [3, 4], [5], [6, 7, 8, 9]):
        places = buffer.add(**numbers(*block))
        assert buffer["x"][places].tolist() == block
        written += block
        assert sorted(buffer["x"].tolist()) == sorted(written[-5:])
    assert len(buffer) == 5
    assert buffer.full


def test_a_block_larger_than_the_ring_leaves_its_end() -> None:
    buffer = ReplayBuffer(3)
    buffer.add(**numbers(0))
    buffer.add(**numbers(*range(1, 11)))
    assert sorted(buffer["x"].tolist()) == [8, 9, 10]


def test_storage_grows_no_further_than_the_capacity() -> None:
    buffer = ReplayBuffer(1000)
    buffer.add(x=torch.zeros(10))
    assert len(buffer.columns["x"]) == 10
    for _ in range(200):
        buffer.add(x=torch.zeros(10))
    assert len(buffer.columns["x"]) == 1000


def test_images_lie_channels_last() -> None:
    buffer = ReplayBuffer(4)
    buffer.add(images=torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    drawn = buffer.take(torch.tensor([0, 1]))["images"]
    assert drawn.dtype == torch.uint8
    assert drawn.is_contiguous(memory_format=torch.channels_last)


def test_draws_are_counted_and_start_again_when_overwritten() -> None:
    buffer = ReplayBuffer(3)
    buffer.add(**numbers(0, 1, 2))
    buffer.take(torch.tensor([1, 1, 2]))
    assert buffer["draws"].tolist() == [0, 2, 1]
    buffer.add(**numbers(3, 4))
    assert buffer["draws"].tolist() == [0, 0, 1]


def test_state_goes_round_and_the_ring_goes_on_where_it_was() -> None:
    first, second = ReplayBuffer(4), ReplayBuffer(4)
    first.add(**numbers(0, 1, 2))
    second.load_state_dict(first.state_dict())
    for buffer in (first, second):
        buffer.add(**numbers(3, 4))
    assert torch.equal(first["x"], second["x"])
    assert second.written == 5


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({}, "one length above 0"),
        ({"x": torch.zeros(2), "y": torch.zeros(3)}, "one length above 0"),
        ({"y": torch.zeros(2)}, "holds"),
        ({"x": torch.zeros(2, 3)}, "shape"),
    ],
)
def test_what_does_not_fit_is_refused(samples: dict, message: str) -> None:
    buffer = ReplayBuffer(4)
    buffer.add(x=torch.zeros(1))
    with pytest.raises(InputError, match=message):
        buffer.add(**samples)


def test_a_ring_without_room_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        ReplayBuffer(0)


def test_bytes_round_to_nearest_and_back() -> None:
    images = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 0.5, 1.0]).view(1, 1, 1, 5)
    assert to_bytes(images).flatten().tolist() == [0, 0, 1, 128, 255]
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_bytes(to_floats(every)), every)


def test_every_sixteenth_image_is_held_back() -> None:
    pool = ImagePool(100)
    pixels = torch.arange(48, dtype=torch.uint8).view(48, 1, 1, 1)
    pool.add(pixels, torch.zeros(48, 2))
    held = pool.held_back["images"].flatten().tolist()
    assert held == [15, 31, 47]
    assert len(pool) == 45
    assert not set(held) & set(pool.training["images"].flatten().tolist())
    drawn = pool.uniform(1000, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == set(range(45))
