"""Epochs hand out each place once, and go on where they were saved."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.memory.epochs import EpochSampler

CPU = torch.device("cpu")


def test_each_place_comes_once_and_remainders_are_dropped() -> None:
    sampler, rng = EpochSampler(10, CPU), torch.Generator().manual_seed(0)
    assert sampler.is_over(3)
    sampler.begin(None, rng)
    drawn = [sampler.next(3) for _ in range(3)]
    assert len(set(torch.cat(drawn).tolist())) == 9
    assert sampler.is_over(3)
    assert not sampler.is_over(1)
    with pytest.raises(InputError, match="begin another"):
        sampler.next(3)


def test_an_epoch_over_some_places() -> None:
    sampler, rng = EpochSampler(10, CPU), torch.Generator().manual_seed(0)
    places = torch.tensor([1, 4, 7, 9])
    sampler.begin(places, rng)
    assert sorted(sampler.next(4).tolist()) == places.tolist()


def test_the_order_differs_from_epoch_to_epoch() -> None:
    sampler, rng = EpochSampler(50, CPU), torch.Generator().manual_seed(0)
    orders = []
    for _ in range(2):
        sampler.begin(None, rng)
        orders.append(sampler.next(50))
    assert not torch.equal(*orders)


def test_a_saved_epoch_goes_on() -> None:
    sampler, rng = EpochSampler(20, CPU), torch.Generator().manual_seed(0)
    sampler.begin(torch.arange(5, 20), rng)
    sampler.next(4)
    other = EpochSampler(20, CPU)
    other.load_state_dict(sampler.state_dict())
    assert torch.equal(other.next(6), sampler.next(6))


def test_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        EpochSampler(0, CPU)


def test_drawing_begins_a_new_epoch_when_too_few_are_left() -> None:
    sampler, rng = EpochSampler(5, torch.device("cpu")), torch.Generator().manual_seed(0)
    first, second, third = (sampler.draw(2, rng).tolist() for _ in range(3))
    assert len(set(first) | set(second)) == 4
    assert len(third) == 2
    assert sampler.next(2).tolist() not in (first, second)
