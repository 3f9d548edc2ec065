"""Graph context against a loop over facts; four distances in a score; what a batch may not see."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.errors import InputError
from bequest.nn import fact_context
from bequest.nn.fact_context import ALL, ContextTransform
from bequest.nn.facts import OrthogonalTransform

ENTITIES, RELATIONS, DIM = 10, 3, 8


@pytest.fixture(params=["by fact", "in products"])
def gathering(request, monkeypatch):
    """Both ways to gather, whichever the sizes would choose."""
    name = {"by fact": "_gather_by_fact", "in products": "_gather_in_products"}[request.param]
    way = getattr(fact_context, name)
    monkeypatch.setattr(fact_context, "_gather_by_fact", way)
    monkeypatch.setattr(fact_context, "_gather_in_products", way)


def facts():
    generator = torch.Generator().manual_seed(1)
    draw = lambda high: torch.randint(high, (60,), generator=generator)  # noqa: E731
    # The last entity has no fact at all.
    rows = torch.stack([draw(ENTITIES - 1), draw(RELATIONS), draw(ENTITIES - 1)], dim=1)
    return torch.unique(rows, dim=0)


def build(**options):
    generator = torch.Generator().manual_seed(0)
    base = OrthogonalTransform(
        ENTITIES, RELATIONS, dim=DIM, block_size=4, generator=generator, reach=1.0
    )
    base.scales.data += 0.3 * torch.randn(RELATIONS, DIM, generator=generator)
    model = ContextTransform(base, facts(), margin=3.0, generator=generator, **options)
    if model.no_neighbours is not None:
        model.no_neighbours.data += torch.randn(2, DIM, generator=generator)
    return model


def said(model, relation, neighbour, side):
    tables = model.base.tables()
    vector = model.base.entities[neighbour][None]
    return model.base.turn(tables, vector, torch.tensor([relation]), side)[0]


def context_by_hand(model, entity, side, removed):
    own = model.base.entities[entity]
    messages = [
        said(model, relation, head if side == "tail" else tail, side)
        for place, (head, relation, tail) in enumerate(facts().tolist())
        if (tail if side == "tail" else head) == entity and place not in removed
    ]
    if model.aggregator == "mean_self":
        return torch.stack([*messages, own]).mean(0)
    messages.append(model.no_neighbours[0 if side == "tail" else 1])
    together = torch.stack(messages)
    return (together @ own / math.sqrt(DIM)).softmax(0) @ together


@pytest.mark.usefixtures("gathering")
@pytest.mark.parametrize("aggregator", ["attention", "mean_self"])
@pytest.mark.parametrize("removed", [[], [0, 7, 20]])
def test_contexts_are_those_of_a_loop(aggregator, removed):
    model = build(aggregator=aggregator)
    with torch.no_grad():
        tables = model.tables(torch.tensor(removed, dtype=torch.int64))
        for name, side in (("incoming", "tail"), ("outgoing", "head")):
            expected = [context_by_hand(model, e, side, removed) for e in range(ENTITIES)]
            torch.testing.assert_close(tables[name], torch.stack(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("distances", [ALL, ("forth", "incoming"), ("back",), ("outgoing",)])
@pytest.mark.parametrize("side", ["head", "tail"])
def test_the_score_is_the_margin_less_the_mean_distance(distances, side):
    model = build(distances=distances)
    with torch.no_grad():
        tables = model.tables()
        anchors, relations = torch.tensor([0, 4]), torch.tensor([2, 1])
        whole = model.score_all(tables, anchors, relations, side)
        some = torch.tensor([[1, 9, 2], [3, 3, 0]])
        chosen = model.score(tables, anchors, relations, some, side)
        length = lambda vector: vector.view(-1, 4).norm(dim=1).sum()  # noqa: E731
        for row in range(2):
            for entity in range(ENTITIES):
                anchor, relation = int(anchors[row]), int(relations[row])
                head, tail = (anchor, entity) if side == "tail" else (entity, anchor)
                forth = said(model, relation, head, "tail")
                back = said(model, relation, tail, "head")
                each = {
                    "forth": forth - model.base.entities[tail],
                    "back": back - model.base.entities[head],
                }
                # A context that does not count is not computed.
                if "incoming" in tables:
                    each["incoming"] = forth - tables["incoming"][tail]
                if "outgoing" in tables:
                    each["outgoing"] = back - tables["outgoing"][head]
                expected = 3.0 - sum(length(each[name]) for name in distances) / len(distances)
                torch.testing.assert_close(whole[row, entity], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(chosen, whole.gather(1, some), atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("gathering")
def test_a_fact_that_is_removed_leaves_no_trace():
    model = build()
    rows = facts()
    without = ContextTransform(
        model.base, rows[1:], margin=3.0, generator=torch.Generator().manual_seed(0)
    )
    without.no_neighbours = model.no_neighbours
    removed = model.tables(torch.tensor([0]))
    for name, table in without.tables().items():
        torch.testing.assert_close(removed[name], table, atol=1e-6, rtol=1e-6)
    assert not torch.equal(model.tables()["incoming"], removed["incoming"])


@pytest.mark.usefixtures("gathering")
def test_everything_learns():
    model = build()
    some = torch.tensor([[1, 9, 2], [3, 3, 0]])
    scores = model.score(model.tables(), torch.tensor([0, 4]), torch.tensor([2, 1]), some, "tail")
    scores.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_base_is_shared():
    model = build()
    assert model.base.entities is dict(model.named_parameters())["base.entities"]


def test_bad_input():
    base = OrthogonalTransform(3, 2, dim=4, block_size=4, generator=torch.Generator())
    options = {"margin": 1.0, "generator": torch.Generator()}
    with pytest.raises(InputError, match="the graph has the head 3"):
        ContextTransform(base, torch.tensor([[3, 0, 1]]), **options)
    with pytest.raises(InputError, match="No distance is left"):
        ContextTransform(base, torch.tensor([[0, 0, 1]]), distances=(), **options)
