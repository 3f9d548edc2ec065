"""Batches: ends by turns, each fact once an epoch, negatives that are no facts, exact resume."""

from __future__ import annotations

import torch

from bequest.memory.corrupted_facts import CorruptedFacts

FACTS = torch.unique(torch.randint(6, (40, 3), generator=torch.Generator().manual_seed(0)), dim=0)


def sampler(batch_size=8):
    return CorruptedFacts(
        FACTS, num_entities=6, num_relations=6, batch_size=batch_size, negatives=20
    )


def test_a_batch_is_what_it_says():
    batches, rng = sampler(), torch.Generator().manual_seed(0)
    known = {tuple(fact) for fact in FACTS.tolist()}
    for expected in ("head", "tail", "head"):
        batch = batches.draw(rng)
        assert batch.side == expected
        for row, place in enumerate(batch.places.tolist()):
            head, relation, tail = FACTS[place].tolist()
            anchor, answer = (head, tail) if expected == "tail" else (tail, head)
            assert (batch.anchors[row], batch.relations[row]) == (anchor, relation)
            assert batch.candidates[row, 0] == answer
            for other in batch.candidates[row, 1:].tolist():
                ends = (anchor, other) if expected == "tail" else (other, anchor)
                assert (ends[0], relation, ends[1]) not in known
        torch.testing.assert_close(batch.weights.mean(), torch.tensor(1.0))


def test_each_fact_once_an_epoch():
    batches, rng = sampler(), torch.Generator().manual_seed(0)
    drawn = torch.cat([batches.draw(rng).places for _ in range(len(FACTS) // 8)])
    assert len(drawn.unique()) == len(drawn)


def test_a_batch_is_never_larger_than_the_set():
    batch = sampler(batch_size=1000).draw(torch.Generator().manual_seed(0))
    assert sorted(batch.places.tolist()) == list(range(len(FACTS)))


def test_it_goes_on_where_it_stood():
    first, rng = sampler(), torch.Generator().manual_seed(0)
    for _ in range(3):
        first.draw(rng)
    second = sampler()
    second.load_state_dict(first.state_dict())
    copy = torch.Generator()
    copy.set_state(rng.get_state())
    for _ in range(5):
        one, other = first.draw(rng), second.draw(copy)
        assert one.side == other.side
        assert torch.equal(one.candidates, other.candidates)
