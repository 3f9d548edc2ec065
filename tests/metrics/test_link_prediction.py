"""Filtered ranks against a loop over facts, with ties; figures by end and kind of relation."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError, NotFiniteError
from bequest.metrics.link_prediction import (
    figures_by_category,
    filtered_ranks,
    rank_figures,
    rank_metrics,
)
from bequest.ops.triples import Answers

SIZES = {"num_entities": 9, "num_relations": 3}


def random_facts(number, seed):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda high: torch.randint(high, (number,), generator=generator)  # noqa: E731
    return torch.unique(torch.stack([draw(9), draw(3), draw(9)], dim=1), dim=0)


def integer_scores(anchors, relations, side):
    """Many ties; another table for each side."""
    table = torch.randint(4, (9, 3, 9), generator=torch.Generator().manual_seed(len(side) + 5))
    return (table if side == "tail" else table + 1)[anchors, relations].float()


def rank_by_hand(fact, known, side):
    head, relation, tail = fact
    anchor, answer = (head, tail) if side == "tail" else (tail, head)
    scores = integer_scores(torch.tensor([anchor]), torch.tensor([relation]), side)[0].tolist()
    others = []
    for entity in range(9):
        other = [head, relation, entity] if side == "tail" else [entity, relation, tail]
        if entity != answer and other not in known:
            others.append(scores[entity])
    best = 1 + sum(score > scores[answer] for score in others)
    worst = 1 + sum(score >= scores[answer] for score in others)
    return (best + worst) / 2


@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_ranks_are_those_of_a_loop(side, batch_size):
    known = random_facts(80, 0)
    test = known[::2]
    answers = Answers.of(known, side, **SIZES)
    ranks = filtered_ranks(integer_scores, test, answers, batch_size=batch_size)
    expected = [rank_by_hand(fact, known.tolist(), side) for fact in test.tolist()]
    assert ranks.tolist() == expected


def test_a_constant_scorer_gets_the_rank_of_guessing():
    facts = torch.tensor([[0, 0, 1]])
    answers = Answers.of(facts, "tail", **SIZES)
    ranks = filtered_ranks(lambda a, r, s: torch.zeros(len(a), 9), facts, answers)
    assert ranks.tolist() == [5.0]  # of nine


def test_another_answer_that_scores_higher_does_not_count():
    known = torch.tensor([[0, 0, 1], [0, 0, 2]])
    scores = torch.arange(9.0).flip(0)[None]
    answers = Answers.of(known, "tail", **SIZES)
    ranks = filtered_ranks(lambda a, r, s: scores.expand(len(a), 9), known, answers)
    assert ranks.tolist() == [2.0, 2.0]  # entity 0 stands before both, 1 not before 2


def test_figures():
    ranks = torch.tensor([[1.0, 2.0], [4.0, 10.5]], dtype=torch.float64)
    figures = rank_figures(ranks)
    assert figures["mrr"] == pytest.approx(100 * (1 + 1 / 2 + 1 / 4 + 1 / 10.5) / 4)
    assert figures["mean_rank"] == pytest.approx(17.5 / 4)
    assert [figures[f"hits_at_{k}"] for k in (1, 3, 10)] == [25.0, 50.0, 75.0]
    kinds = figures_by_category(ranks, torch.tensor([3, 1]))
    assert kinds["mrr_of_heads"] == pytest.approx(100 * (1 + 1 / 4) / 2)
    assert kinds["mrr_n_to_n"] == pytest.approx(75.0)
    assert kinds["mrr_1_to_n_heads"] == pytest.approx(25.0)
    assert "mrr_1_to_1" not in kinds


def test_everything_from_facts_alone():
    known = random_facts(60, 1)
    figures = rank_metrics(integer_scores, known[:20], known, **SIZES)
    table = known.tolist()
    by_hand = [rank_by_hand(fact, table, side) for fact in table[:20] for side in ("head", "tail")]
    assert figures["mrr"] == pytest.approx(100 * sum(1 / rank for rank in by_hand) / 40)


def test_bad_input():
    known = random_facts(30, 2)
    answers = Answers.of(known, "tail", **SIZES)
    lonely = Answers.of(known[:1], "tail", **SIZES)
    head, relation, tail = known[0].tolist()
    for stranger in ([(head + 1) % 9, relation, tail], [head, relation, (tail + 1) % 9]):
        with pytest.raises(InputError, match="that the known facts lack"):
            filtered_ranks(integer_scores, torch.tensor([stranger]), lonely)
    with pytest.raises(NotFiniteError, match="NaN"):
        filtered_ranks(lambda a, r, s: torch.full((len(a), 9), torch.nan), known, answers)
    with pytest.raises(InputError, match="no fact was ranked"):
        rank_figures(torch.zeros(0, 2))
    with pytest.raises(InputError, match="test has the tail 9"):
        rank_metrics(integer_scores, torch.tensor([[0, 0, 9]]), known, **SIZES)
