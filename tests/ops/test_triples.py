"""Queries, exact negatives, weights and kinds of relations, each against counting by hand."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.triples import (
    CATEGORIES,
    Answers,
    check_triples,
    relation_categories,
    subsampling_weights,
)

SIZES = {"num_entities": 7, "num_relations": 3}


def random_facts(number=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda high: torch.randint(high, (number,), generator=generator)  # noqa: E731
    return torch.stack([draw(7), draw(3), draw(7)], dim=1)


@pytest.mark.parametrize("side", ["head", "tail"])
def test_answers_are_those_of_a_dictionary(side):
    facts = random_facts()
    answers = Answers.of(facts, side, **SIZES)
    anchor, answer = (0, 2) if side == "tail" else (2, 0)
    table: dict[tuple[int, int], set[int]] = {}
    for fact in facts.tolist():
        table.setdefault((fact[anchor], fact[1]), set()).add(fact[answer])
    rows, entities = answers.gather(answers.places(facts))
    for number, fact in enumerate(facts.tolist()):
        assert set(entities[rows == number].tolist()) == table[fact[anchor], fact[1]]
    assert len(answers.queries) == len(table)


def test_a_query_that_is_not_there_has_no_answer():
    answers = Answers.of(torch.tensor([[0, 0, 1], [2, 1, 3]]), "tail", **SIZES)
    places = answers.places(torch.tensor([[5, 2, 0], [0, 0, 6], [6, 2, 6]]))
    assert places.tolist() == [2, 0, 2]
    assert answers.counts(places).tolist() == [0, 1, 0]
    assert answers.gather(places)[0].tolist() == [1]


@pytest.mark.parametrize("side", ["head", "tail"])
def test_negatives_are_uniform_over_what_is_no_fact(side):
    facts = random_facts()
    answers = Answers.of(facts, side, **SIZES)
    places = answers.places(facts)
    drawn = answers.draw_others(places, 4000, torch.Generator().manual_seed(0))
    rows, entities = answers.gather(places)
    for number in range(len(facts)):
        allowed = sorted(set(range(7)) - set(entities[rows == number].tolist()))
        counts = torch.bincount(drawn[number], minlength=7)
        assert counts[allowed].sum() == 4000
        # Six standard deviations of a binomial with the largest variance.
        expected = 4000 / len(allowed)
        assert (counts[allowed] - expected).abs().max() < 6 * expected**0.5


def test_a_query_that_everything_answers_still_gets_negatives():
    facts = torch.tensor([[0, 0, tail] for tail in range(7)] + [[1, 0, 3]])
    answers = Answers.of(facts, "tail", **SIZES)
    drawn = answers.draw_others(answers.places(facts), 500, torch.Generator().manual_seed(0))
    assert set(drawn[0].tolist()) == set(range(7))
    assert set(drawn[7].tolist()) == set(range(7)) - {3}


def test_weights_of_frequent_queries_are_smaller():
    facts = torch.tensor([[0, 0, 1], [0, 0, 2], [3, 0, 2], [4, 1, 5]])
    heads, tails = (Answers.of(facts, side, **SIZES) for side in ("head", "tail"))
    weights = subsampling_weights(facts, heads, tails)
    # #(h, r) + #(r, t), each with 3 added: RotatE's code counts from 4.
    counts = torch.tensor([2 + 1, 2 + 2, 1 + 2, 1 + 1]) + 6
    torch.testing.assert_close(weights, 1 / counts.float().sqrt())


def test_kinds_of_relations():
    facts = torch.tensor(
        [[0, 0, 1], [2, 0, 3]]  # one to one
        + [[0, 1, 1], [0, 1, 2], [0, 1, 3]]  # one head, many tails
        + [[1, 2, 0], [2, 2, 0]]  # many heads, one tail
        + [[a, 3, b] for a in (0, 1) for b in (2, 3)]
    )
    kinds = relation_categories(facts, num_entities=7, num_relations=5)
    assert [CATEGORIES[kind] for kind in kinds[:4]] == ["1_to_1", "1_to_n", "n_to_1", "n_to_n"]
    assert kinds[4] == -1
    # Three tails for two heads are 1.5 a head: many.
    kinds = relation_categories(
        torch.tensor([[0, 0, 1], [0, 0, 2], [3, 0, 4]]), num_entities=7, num_relations=1
    )
    assert CATEGORIES[kinds[0]] == "1_to_n"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (torch.zeros(0, 3, dtype=torch.int64), "the graph is empty"),
        (torch.zeros(2, 2, dtype=torch.int64), "columns head, relation, tail"),
        (torch.zeros(2, 3), "int64"),
        (torch.tensor([[0, 0, 7]]), "tail 7, which is unknown: numbers go from 0 to 6"),
        (torch.tensor([[0, 3, 1]]), "relation 3, which is unknown"),
        (torch.tensor([[-1, 0, 1]]), "head -1"),
    ],
)
def test_what_are_no_facts_is_refused(facts, message):
    with pytest.raises(InputError, match=message):
        check_triples(facts, **SIZES, name="train")
