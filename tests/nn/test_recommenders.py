"""Recommendations of whole networks: against a loop over users, and what is refused."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from bequest.errors import InputError
from bequest.nn import recommenders
from bequest.nn.recommenders import InterestNetwork, Popularity
from bequest.ops.sequences import Sequences

HISTORIES = Sequences.of([[3, 1, 4], [1], [5, 9, 2, 6, 5, 3, 5], [8, 8]])


def network(extractor="sa", interests=3, items=12, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {"dim": 4, "length": 5, **options}
        return InterestNetwork(items, interests=interests, extractor=extractor, **options)


@pytest.mark.parametrize("extractor", ["sa", "dr", "mind", "mean", "gru"])
def test_a_list_is_the_items_by_their_best_inner_product(extractor):
    model = network(extractor, 1 if extractor in ("mean", "gru") else 3).eval()
    found = model.recommend(HISTORIES, number=6)
    with torch.no_grad():
        for user, items in enumerate(([3, 1, 4], [1], [2, 6, 5, 3, 5], [8, 8])):
            history = torch.tensor([items + [0] * (5 - len(items))])
            best = (model(history)[0] @ model.items.weight.T).amax(0)
            order = sorted(range(1, 13), key=lambda item: -best[item].item())
            assert found[user].tolist() == order[:6]


def test_the_padding_row_is_zero_and_stays_zero():
    model = network()
    assert not model.items.weight[0].any()
    model(torch.tensor([[3, 1, 0, 0, 0]])).sum().backward()
    assert not model.items.weight.grad[0].any()


def test_parts_of_the_users_give_the_same_lists():
    whole = network().recommend(HISTORIES, number=4, exclude_seen=True)
    with mock.patch.object(recommenders, "_CHUNK", 1):
        assert torch.equal(network().recommend(HISTORIES, number=4, exclude_seen=True), whole)


def test_what_was_seen_is_left_out_wherever_it_stood():
    found = network().recommend(HISTORIES, number=12, exclude_seen=True).tolist()
    for user, seen in enumerate(({3, 1, 4}, {1}, {5, 9, 2, 6, 3}, {8})):
        shown = [item for item in found[user] if item]
        assert set(shown) == set(range(1, 13)) - seen
        assert found[user] == shown + [0] * len(seen)


def test_recommending_leaves_the_network_as_it_was():
    model = network("mind").train()
    before = torch.get_rng_state()
    assert torch.equal(model.recommend(HISTORIES), model.recommend(HISTORIES))
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(before, torch.get_rng_state())


def test_popularity_is_the_same_for_everybody():
    model = Popularity(torch.tensor([0, 2, 9, 4, 1]))
    histories = Sequences.of([[2], [1, 3]])
    assert model.recommend(histories, number=3).tolist() == [[2, 3, 1]] * 2
    unseen = model.recommend(histories, number=3, exclude_seen=True)
    assert unseen.tolist() == [[3, 1, 4], [2, 4, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"histories": Sequences.of([[13]])}, "item ids 13 to 13"),
        ({"histories": Sequences.of([[1], []])}, "Sequence 1 of histories has 0 events"),
        ({"number": 0}, "number is 0"),
        ({"diversity": 0.1}, "needs the categories"),
        ({"diversity": 0.1, "categories": torch.zeros(12).long()}, "There are 12 categories"),
    ],
)
def test_what_cannot_be_ranked_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        network().recommend(**{"histories": HISTORIES, **options})


def test_single_vectors_are_single():
    with pytest.raises(InputError, match="interests must be 1"):
        network("gru", interests=2)
