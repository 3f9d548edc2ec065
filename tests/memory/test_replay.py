"""The ring: what stays, where it lies, what a draw counts."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.memory.pool import ImagePool
from bequest.memory.replay import ReplayBuffer, reservoir_places, to_bytes, to_floats


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


def reservoir(capacity: int, seed: int = 0) -> ReplayBuffer:
    return ReplayBuffer(capacity, reservoir=torch.Generator().manual_seed(seed))


def test_a_reservoir_written_in_blocks_is_one_written_one_by_one() -> None:
    single = reservoir(7)
    for value in range(200):
        single.add(**numbers(value))
    for sizes in ((200,), (3, 40, 1, 156), (7, 193), (100, 100)):
        blocks, first = reservoir(7), 0
        for size in sizes:
            blocks.add(**numbers(*range(first, first + size)))
            first += size
        assert torch.equal(blocks["x"], single["x"])
        assert len(blocks) == 7


def test_a_reservoir_says_where_its_samples_went() -> None:
    buffer = reservoir(5)
    kept: dict[int, int] = {}
    for block in torch.arange(90).split(9):
        places = buffer.add(x=block)
        assert len(places) == 9
        written = places[places >= 0]
        assert len(written.unique()) == len(written)
        kept |= {int(p): int(x) for p, x in zip(places, block) if p >= 0}
        assert buffer["x"].tolist() == [kept[place] for place in range(len(buffer))]


def test_each_sample_is_kept_with_probability_capacity_over_arrivals() -> None:
    # 800 reservoirs of 10 over 40 arrivals: each is kept in 200 of them, give or take 4 sigma.
    rng = torch.Generator().manual_seed(0)
    counts = torch.zeros(40)
    for _ in range(800):
        buffer = ReplayBuffer(10, reservoir=rng)
        for block in torch.arange(40).split(16):
            buffer.add(x=block)
        counts[buffer["x"]] += 1
    assert counts.sum() == 8000
    assert (counts - 200).abs().max() < 4 * (800 * 0.25 * 0.75) ** 0.5


def test_each_pair_is_kept_alike() -> None:
    # Uniform over sets, too: 6 sets of 2 of 4 arrivals, each expected 200 times.
    rng = torch.Generator().manual_seed(1)
    sets: dict[tuple[int, ...], int] = {}
    for _ in range(1200):
        buffer = ReplayBuffer(2, reservoir=rng)
        buffer.add(x=torch.arange(4))
        kept = tuple(sorted(buffer["x"].tolist()))
        sets[kept] = sets.get(kept, 0) + 1
    assert len(sets) == 6
    assert all(abs(count - 200) < 4 * (1200 / 6 * 5 / 6) ** 0.5 for count in sets.values())


def test_the_nth_arrival_is_kept_with_probability_capacity_over_n() -> None:
    # n counts from 1: place j of 0 .. n - 1 is drawn, with n - 1 arrivals before it.
    rng = torch.Generator().manual_seed(0)
    tenth = sum(int(reservoir_places(1, 9, 3, rng)) >= 0 for _ in range(1000))
    assert abs(tenth / 1000 - 0.3) < 4 * (0.3 * 0.7 / 1000) ** 0.5
    assert reservoir_places(3, 0, 3, rng).tolist() == [0, 1, 2]


def test_a_reservoir_goes_on_where_it_was() -> None:
    first = reservoir(6)
    first.add(images=torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(20, 1, 2, 2))
    second = reservoir(6, seed=9)
    second.load_state_dict(first.state_dict())
    second.reservoir.set_state(first.reservoir.get_state())
    for buffer in (first, second):
        more = torch.arange(20, 60, dtype=torch.uint8).view(40, 1, 1, 1).expand(40, 1, 2, 2)
        buffer.add(images=more)
    assert torch.equal(first["images"], second["images"])
    assert len(first.state_dict()["columns"]["images"]) == 6


def test_a_reservoir_grows_no_further_than_its_capacity() -> None:
    buffer = reservoir(100)
    for block in torch.arange(1000).split(7):
        buffer.add(x=block)
        assert len(buffer.columns["x"]) <= 101
    assert len(buffer["x"]) == 100
    assert len(set(buffer["x"].tolist())) == 100


def test_draws_are_different_samples_and_counted() -> None:
    buffer = ReplayBuffer(10)
    buffer.add(x=torch.arange(10))
    rng = torch.Generator().manual_seed(0)
    drawn = buffer.draw(6, rng)["x"]
    assert len(drawn.unique()) == 6
    assert buffer["draws"].sum() == 6
    assert sorted(buffer.draw(99, rng)["x"].tolist()) == list(range(10))
    assert buffer.draw(6, rng)["x"].tolist() != drawn.tolist()
    with pytest.raises(InputError, match="nothing to draw"):
        ReplayBuffer(3).draw(1, rng)


def test_what_is_refused_leaves_the_buffer_as_it_was() -> None:
    buffer = ReplayBuffer(4)
    buffer.add(x=torch.zeros(2), y=torch.zeros(2, 3))
    with pytest.raises(InputError, match="shape"):
        buffer.add(x=torch.ones(2), y=torch.ones(2, 4))
    assert len(buffer) == 2
    assert buffer["x"].sum() == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_blocks_leave_a_uniform_sample_too() -> None:
    rng = torch.Generator("cuda").manual_seed(0)
    counts = torch.zeros(40, device="cuda")
    for _ in range(800):
        buffer = ReplayBuffer(10, reservoir=rng)
        for block in torch.arange(40, device="cuda").split(16):
            buffer.add(x=block)
        assert len(buffer["x"].unique()) == 10
        counts[buffer["x"]] += 1
    assert (counts - 200).abs().max() < 4 * (800 * 0.25 * 0.75) ** 0.5
