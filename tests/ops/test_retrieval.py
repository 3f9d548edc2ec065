"""Merging and the greedy choice against restatements with lists."""

from __future__ import annotations

import itertools

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.retrieval import greedy_diverse_rerank, multi_interest_merge, retrieve

CATEGORIES = torch.tensor([0, 0, 1, 2, 0, 1, 2, 0, 0, 1, 0, 2, 1])  # of ids 0 .. 12


def random_scores(users=4, interests=3, items=12, seed=0):
    return torch.randn(users, interests, items + 1, generator=torch.Generator().manual_seed(seed))


def merged(pairs):
    """What a person would write: sorted by score, the first of each id, no padding."""
    best = {}
    for score, item in sorted(pairs, key=lambda pair: -pair[0]):
        if item:
            best.setdefault(item, score)
    return list(best.items())


def chosen(pairs, diversity, number):
    """The greedy loop with its early end: candidates fall in score, prices are never negative."""
    left, counts, out = list(pairs), dict.fromkeys(range(3), 0), []
    for _ in range(min(number, len(left))):
        best, best_value = 0, None
        for place, (item, score) in enumerate(left):
            if best_value is not None and score < best_value:
                break
            value = score - diversity * counts[int(CATEGORIES[item])]
            if best_value is None or value > best_value:
                best, best_value = place, value
        item, _ = left.pop(best)
        counts[int(CATEGORIES[item])] += 1
        out.append(item)
    return out + [0] * (number - len(out))


def test_a_list_by_hand():
    scores = torch.tensor([[[5.0, 3.0, 1.0], [4.0, 3.5, 2.0]]])
    ids = torch.tensor([[[7, 2, 9], [2, 0, 4]]])
    values, items = multi_interest_merge(scores, ids)
    assert items.tolist() == [[7, 2, 4, 9, 0, 0]]
    assert values[0, :4].tolist() == [5.0, 4.0, 2.0, 1.0]
    assert values[0, 4:].isneginf().all()


def test_merged_lists_are_those_of_a_loop():
    lists = random_scores().topk(6, dim=2)
    values, ids = multi_interest_merge(lists.values, lists.indices)
    for user in range(4):
        pairs = zip(lists.values[user].flatten().tolist(), lists.indices[user].flatten().tolist())
        expected = merged(pairs)
        assert ids[user].tolist()[: len(expected)] == [item for item, _ in expected]
        assert values[user].tolist()[: len(expected)] == [score for _, score in expected]
        assert not ids[user, len(expected) :].any()


def test_best_score_of_any_interest_and_the_merge_of_lists_are_one_ranking():
    scores = random_scores(users=20)
    direct = retrieve(scores.clone(), number=5)
    scores[:, :, 0] = -float("inf")
    lists = scores.topk(5, dim=2)
    assert torch.equal(direct, multi_interest_merge(lists.values, lists.indices)[1][:, :5])


@pytest.mark.parametrize("diversity", [0.0, 0.05, 0.3, 5.0])
def test_the_greedy_choice_is_that_of_a_loop(diversity):
    lists = random_scores(users=30).topk(6, dim=2)
    values, ids = multi_interest_merge(lists.values, lists.indices)
    found = greedy_diverse_rerank(values, ids, CATEGORIES, diversity=diversity, number=8)
    for user in range(30):
        pairs = [(i, s) for i, s in zip(ids[user].tolist(), values[user].tolist()) if i]
        assert found[user].tolist() == chosen(pairs, diversity, 8)


def test_each_choice_raises_the_objective_most():
    """Score plus lambda times the ordered pairs of different categories, eq. 9, by brute force."""
    scores = random_scores(users=1, interests=1, items=7)[:, 0, 1:]
    ids = torch.arange(1, 8)[None]
    found = greedy_diverse_rerank(scores, ids, CATEGORIES, diversity=0.4, number=4)[0].tolist()

    def objective(items):
        pairs = itertools.combinations(items, 2)
        different = sum(int(CATEGORIES[i] != CATEGORIES[j]) for i, j in pairs)
        return sum(scores[0, i - 1].item() for i in items) + 0.4 * different

    for number in range(4):
        before = found[:number]
        others = [item for item in range(1, 8) if item not in before]
        assert found[number] == max(others, key=lambda item: objective([*before, item]))


def test_a_higher_price_never_makes_large_lists_less_varied():
    scores = random_scores(users=50, interests=1)[:, 0]
    ids = torch.arange(13).expand(50, -1)
    scores[:, 0] = -float("inf")
    pairs = []
    for price in (0.0, 0.2, 0.5, 1.0, 3.0, 50.0):
        found = greedy_diverse_rerank(scores, ids, CATEGORIES, diversity=price, number=6)
        category = CATEGORIES[found]
        pairs.append((category[:, :, None] != category[:, None]).sum().item())
    assert pairs == sorted(pairs)
    assert pairs[0] < pairs[-1] == 50 * 24  # two of each category


def test_lists_that_run_out_end_in_zeros():
    scores = random_scores(users=2, items=4)
    exclude = torch.tensor([[1, 3, 0], [2, 0, 0]])
    plain = retrieve(scores.clone(), number=6, exclude=exclude)
    varied = retrieve(
        scores.clone(), number=6, exclude=exclude, diversity=0.1, categories=CATEGORIES[:5]
    )
    for found in (plain, varied):
        assert [sorted(row) for row in found.tolist()] == [[0, 0, 0, 0, 2, 4], [0, 0, 0, 1, 3, 4]]
        assert (found[:, -3:] == 0).all()


def test_diversity_needs_categories():
    with pytest.raises(InputError, match="needs the categories"):
        retrieve(random_scores(), number=3, diversity=0.1)
