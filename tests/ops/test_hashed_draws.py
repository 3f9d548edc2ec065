"""Draws that belong to a sample and a seed."""

from __future__ import annotations

import torch

from bequest.ops.augment import crop_flip, random_crop_flip, seeded_crop_flip
from bequest.ops.hashed_draws import hashed_uniform

PLACES = torch.arange(20_000)


def test_they_are_uniform_and_independent_of_one_another() -> None:
    columns = torch.stack(
        [hashed_uniform(PLACES, seed, number) for seed in (0, 1, 2) for number in (0, 1, 2)]
    )
    assert columns.min() >= 0
    assert columns.max() < 1
    shares = torch.histc(columns.flatten(), bins=20, min=0, max=1) / columns.numel()
    assert (shares - 0.05).abs().max() < 0.002
    correlations = torch.corrcoef(columns) - torch.eye(9)
    assert correlations.abs().max() < 0.03
    neighbours = torch.corrcoef(torch.stack((columns[0, 1:], columns[0, :-1])))[0, 1]
    assert abs(neighbours) < 0.03


def test_they_do_not_depend_on_the_batch() -> None:
    whole = hashed_uniform(PLACES, 5, 1)
    some = torch.tensor([7, 3, 19_999, 3])
    assert torch.equal(hashed_uniform(some, 5, 1), whole[some])
    # The same on every machine, for ever: a cache of another run stays right.
    first = hashed_uniform(torch.tensor([0, 1, 2]), 0, 0) * 2**24
    assert first.tolist() == [6578768.0, 6549188.0, 3303333.0]


def test_cuts_of_a_sample_are_the_same_in_every_batch_and_differ_by_seed() -> None:
    images = torch.randint(256, (6, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    places = torch.arange(6)
    whole = seeded_crop_flip(images, places, seed=3, padding=2)
    some = torch.tensor([4, 1])
    assert torch.equal(seeded_crop_flip(images[some], some, seed=3, padding=2), whole[some])
    assert not torch.equal(seeded_crop_flip(images, places, seed=4, padding=2), whole)
    assert torch.equal(seeded_crop_flip(images, places, seed=3, padding=0, flip=False), images)


def test_cuts_go_everywhere_and_mirror_half() -> None:
    # A ramp: the top left pixel of a cut says where it was taken, and whether mirrored.
    side = torch.arange(64).view(1, 1, 8, 8) + 1
    cuts = seeded_crop_flip(side.expand(4000, 1, 8, 8), torch.arange(4000), seed=0, padding=1)
    inner = cuts[:, 0, 4, 3:5]
    mirrored = (inner[:, 0] > inner[:, 1]).float().mean()
    assert abs(mirrored - 0.5) < 0.03
    left = torch.where(inner[:, 0] < inner[:, 1], inner[:, 0], inner[:, 1])
    counts = torch.bincount(left)[torch.bincount(left) > 0]
    assert len(counts) == 9
    assert (counts / 4000 - 1 / 9).abs().max() < 0.02


def test_a_crop_is_padded_and_mirrored_as_told() -> None:
    image = torch.arange(9).view(1, 1, 3, 3)
    top, left = torch.tensor([0]), torch.tensor([2])
    assert crop_flip(image, top, left, None, padding=1).tolist() == [
        [[[0, 0, 0], [1, 2, 0], [4, 5, 0]]]
    ]
    mirrored = crop_flip(image, top, left, torch.tensor([True]), padding=1)
    assert mirrored.tolist() == [[[[0, 0, 0], [0, 2, 1], [0, 5, 4]]]]


def test_random_crops_are_those_that_they_were() -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.rand((5, 2, 6, 6), generator=rng)
    drawn = random_crop_flip(images, torch.Generator().manual_seed(1), padding=2)
    again = torch.Generator().manual_seed(1)
    shifts = torch.randint(0, 5, (2, 5), generator=again)
    flips = torch.rand(5, generator=again) < 0.5
    assert torch.equal(drawn, crop_flip(images, shifts[0], shifts[1], flips, padding=2))
