"""The whole of GC-OTE on a tiny graph; baselines and ablations; what it refuses."""

from __future__ import annotations

import pytest
import torch

from bequest.data.knowledge import load_knowledge_graph
from bequest.errors import InputError
from bequest.methods.base import change
from bequest.methods.graphs.ote import OTE
from bequest.nn.fact_context import ContextTransform
from bequest.nn.facts import OrthogonalTransform, Rotation, Translation
from bequest.run import Run

TINY = OTE(
    dim=8, block_size=4, margin=3.0, negatives=6, batch_size=50, steps=4, learning_rate=0.02,
    context_margin=3.0, context_batch_size=30, context_steps=3, context_learning_rate=0.02,
)  # fmt: skip
FAMILIES = load_knowledge_graph("families")
SIZES = {"num_entities": FAMILIES.num_entities, "num_relations": FAMILIES.num_relations}


def fit(method=TINY, *, train=FAMILIES.train, monitor=None, run=None, **sizes):
    with run or Run(seed=0, device="cpu", precision="fp32") as run:
        return method.fit(train, **(SIZES | sizes), run=run, monitor=monitor)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, ContextTransform),
        ({"aggregator": "mean_self"}, ContextTransform),
        ({"context": "alone"}, ContextTransform),
        ({"context": "two-way"}, ContextTransform),
        ({"context": "none"}, OrthogonalTransform),
        ({"context": "none", "scale": "none"}, OrthogonalTransform),
        ({"context": "none", "scale": "abs"}, OrthogonalTransform),
        ({"context": "none", "transform": "rotation"}, Rotation),
        ({"context": "none", "transform": "translation"}, Translation),
    ],
)
def test_every_form_learns_and_stays_finite(fields, kind):
    result = fit(change(TINY, **fields))
    assert isinstance(result.model, kind)
    assert all(parameter.isfinite().all() for parameter in result.model.parameters())


@pytest.mark.parametrize("context", ["both", "none"])
def test_the_loss_falls(context):
    method = change(TINY, steps=60, context_steps=20, context=context)
    with Run(seed=0, device="cpu", precision="fp32") as run:
        method.fit(FAMILIES.train, **SIZES, run=run)
        losses = [row["loss"] for row in run.metrics.rows if row["phase"] == "embedding"]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_training_in_context_goes_on_with_the_embedding():
    seen = []

    def monitor(model):
        base = model.base if isinstance(model, ContextTransform) else model
        seen.append((type(model), base.entities.detach().clone()))
        return {"figure": 1.0}

    result = fit(monitor=monitor)
    before = [entities for kind, entities in seen if kind is OrthogonalTransform]
    after = [entities for kind, entities in seen if kind is ContextTransform]
    # The first step in context starts where embedding ended, which is a step after its last look.
    assert (after[0] - before[-1]).abs().max() < 3 * TINY.learning_rate
    assert result.metrics == {"figure": 1.0}


def test_repeated_facts_count_once():
    twice = torch.cat([FAMILIES.train, FAMILIES.train.flip(0)])
    one, other = fit(), fit(train=twice)
    for parameter, same in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(parameter, same)


def test_trained_it_finds_what_was_left_out():
    """Kinship follows from rules: held-out facts must rank far better than by guessing."""
    from bequest.metrics.link_prediction import rank_metrics

    method = change(
        TINY, dim=32, steps=150, batch_size=200, negatives=16, margin=4.0, context="none",
        context_steps=0,
    )  # fmt: skip
    model = fit(method).model
    figures = rank_metrics(model.scorer(), FAMILIES.test, FAMILIES.known, **SIZES)
    assert figures["mean_rank"] < 30  # of 121; guessing is about 60


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dim": 10}, "dim is 10, block_size 4"),
        ({"transform": "rotation"}, "context needs the orthogonal transform"),
    ],
)
def test_settings_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        fit(change(TINY, **fields))


def test_facts_that_cannot_be_used_are_refused():
    with pytest.raises(InputError, match="the graph is empty"):
        fit(train=torch.zeros(0, 3, dtype=torch.int64))
    with pytest.raises(InputError, match=r"which is unknown: numbers go from 0 to 99"):
        fit(num_entities=100)
    with pytest.raises(InputError, match="columns head, relation, tail"):
        fit(train=FAMILIES.train.float())


def test_a_graph_of_one_fact():
    result = fit(train=torch.tensor([[0, 0, 1]]), num_entities=2, num_relations=1)
    assert all(parameter.isfinite().all() for parameter in result.model.parameters())
