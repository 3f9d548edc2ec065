"""Proportional prioritised sampling, against its definition."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.memory.priority import PrioritySampler


def sampler_with(priorities: list[float], **options: float) -> PrioritySampler:
    sampler = PrioritySampler(len(priorities) + 2, **options)
    places = torch.arange(len(priorities))
    sampler.enter(places)
    sampler.update(places, torch.tensor(priorities))
    return sampler


def test_probabilities_by_hand() -> None:
    sampler = sampler_with([1.0, 3.0], alpha=2.0, eps=1.0)
    # (1 + 1)^2 = 4 and (3 + 1)^2 = 16.
    assert sampler.probabilities().tolist() == pytest.approx([0.2, 0.8])
    assert sampler.weights(torch.tensor([0.2])).item() == pytest.approx((2 * 0.2) ** -0.4)


def test_equal_priorities_are_plain_uniform_sampling() -> None:
    sampler = sampler_with([0.7] * 50, beta=1.0)
    assert sampler.probabilities().tolist() == pytest.approx([0.02] * 50)
    _, weight = sampler.draw(64, torch.Generator().manual_seed(0))
    assert weight.tolist() == pytest.approx([1.0] * 64, rel=1e-5)
    assert sampler.effective_size().item() == pytest.approx(50.0)


def test_without_correction_all_weights_are_one() -> None:
    _, weight = sampler_with([0.1, 5.0], beta=0.0).draw(8, torch.Generator().manual_seed(0))
    assert weight.tolist() == [1.0] * 8


def test_full_correction_makes_the_weighted_mean_unbiased() -> None:
    values = torch.tensor([1.0, 2.0, 10.0, -4.0])
    sampler = sampler_with([0.1, 0.5, 2.0, 1.0], beta=1.0)
    probabilities = sampler.probabilities()
    expectation = (probabilities * sampler.weights(probabilities) * values).sum()
    assert expectation.item() == pytest.approx(values.mean().item(), rel=1e-5)


def test_draws_follow_the_probabilities() -> None:
    sampler = sampler_with([0.0, 1.0, 2.0, 5.0])
    places, _ = sampler.draw(200_000, torch.Generator().manual_seed(0))
    share = torch.bincount(places, minlength=4) / 200_000
    torch.testing.assert_close(share, sampler.probabilities(), atol=4e-3, rtol=0)


def test_newcomers_enter_with_the_largest_priority() -> None:
    sampler = PrioritySampler(4)
    sampler.enter(torch.tensor([0, 1]))
    assert sampler.priorities[:2].tolist() == [1.0, 1.0]
    sampler.update(torch.tensor([0, 1]), torch.tensor([0.2, 7.0]))
    sampler.enter(torch.tensor([2]))
    assert sampler.priorities[:3].tolist() == pytest.approx([0.2, 7.0, 7.0])
    assert sampler.size == 3


def test_only_drawn_entries_change() -> None:
    sampler = sampler_with([1.0, 1.0, 1.0])
    sampler.update(torch.tensor([1]), torch.tensor([4.0]))
    assert sampler.priorities[:3].tolist() == [1.0, 4.0, 1.0]


def test_many_blocks_draw_by_the_definition() -> None:
    priorities = torch.arange(300.0) ** 2  # several blocks, the last one not full
    sampler = sampler_with(priorities.tolist(), alpha=0.5, eps=1.0)
    expected = (priorities + 1).sqrt()
    expected = expected / expected.sum()
    torch.testing.assert_close(sampler.probabilities(), expected)
    places, weight = sampler.draw(400_000, torch.Generator().manual_seed(0))
    share = torch.bincount(places, minlength=300) / 400_000
    # Four standard deviations of a share.
    assert ((share - expected).abs() < 4 * (expected / 400_000).sqrt() + 1e-6).all()
    torch.testing.assert_close(weight, (300 * expected[places]) ** -0.4)


def test_a_place_that_was_not_entered_is_never_drawn() -> None:
    sampler = PrioritySampler(1000)
    sampler.enter(torch.arange(70))  # ends inside the second block
    places, _ = sampler.draw(10_000, torch.Generator().manual_seed(0))
    assert places.unique().tolist() == list(range(70))


def test_no_error_builds_up_over_updates() -> None:
    rng = torch.Generator().manual_seed(0)
    sampler = PrioritySampler(500, alpha=0.6)
    sampler.enter(torch.arange(500))
    for _ in range(200):
        places = torch.randint(500, (32,), generator=rng)  # some twice
        sampler.update(places, 10 ** (8 * torch.rand(32, generator=rng) - 4))
    sampler.update(torch.arange(500), torch.full((500,), 1e-4))
    _, weight = sampler.draw(64, rng)
    torch.testing.assert_close(weight, torch.ones(64), rtol=1e-6, atol=0)


def test_of_two_values_for_one_place_only_the_kept_one_counts() -> None:
    sampler = sampler_with([1.0, 1.0])
    sampler.update(torch.tensor([1, 1]), torch.tensor([3.0, 5.0]))
    fresh = sampler_with(sampler.priorities[:2].tolist())
    assert torch.equal(sampler.probabilities(), fresh.probabilities())


def test_resumed_draws_are_the_same_bit_for_bit() -> None:
    rng = torch.Generator().manual_seed(3)
    first = PrioritySampler(203, alpha=0.6)
    first.enter(torch.arange(203))
    for _ in range(5):
        first.update(torch.randint(203, (7,), generator=rng), torch.rand(7, generator=rng))
    second = PrioritySampler(203, alpha=0.6)
    second.load_state_dict(first.state_dict())
    rngs = [torch.Generator().manual_seed(1) for _ in range(2)]
    for _ in range(3):
        (a, weight_a), (b, weight_b) = (s.draw(40, r) for s, r in zip((first, second), rngs))
        assert torch.equal(a, b)
        assert torch.equal(weight_a, weight_b)
        first.update(a, weight_a / 3)
        second.update(b, weight_b / 3)


def test_state_goes_round() -> None:
    first = sampler_with([1.0, 2.0, 3.0])
    second = PrioritySampler(5)
    second.load_state_dict(first.state_dict())
    rngs = [torch.Generator().manual_seed(1) for _ in range(2)]
    for a, b in zip(first.draw(9, rngs[0]), second.draw(9, rngs[1])):
        assert torch.equal(a, b)


@pytest.mark.parametrize("options", [{"alpha": -1.0}, {"beta": 1.5}, {"eps": 0.0}])
def test_ranges(options: dict) -> None:
    with pytest.raises(InputError, match="must be"):
        PrioritySampler(3, **options)


def test_nothing_to_draw_from() -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        PrioritySampler(3).draw(1, torch.Generator())
