"""OTE and GC-OTE: facts of a knowledge graph completed by orthogonal transforms in graph context.

Yun Tang, Jing Huang, Guangtao Wang, Xiaodong He, Bowen Zhou, "Orthogonal Relation Transforms with
Graph Context Modeling for Knowledge Graph Embedding", ACL 2020. Facts (head, relation, tail) in,
scores of missing ones out. An entity is a vector in blocks of n numbers; a relation scales each
block and turns it by an orthogonal n x n matrix, where RotatE turns pairs of numbers. Then
training goes on with what the neighbours of either end say, inside the distance:

    phi     = Gram-Schmidt on the rows of M, each then of length 1
    f(h)_i  = h_i diag(exp(s_i)) phi(M_i)       d(h -> t) = sum_i || f(h)_i - t_i ||
    b(t)_i  = t_i diag(exp(-s_i)) phi(M_i)^T    d(t -> h) = sum_i || b(t)_i - h_i ||
    score   = margin - [ d(h -> t) + d(t -> h) + d(f(h), c_in(t)) + d(b(t), c_out(h)) ] / 4
    loss    = - 1/2 [ log sigmoid(score+) + sum_j p_j log sigmoid(-score-_j) ]

The parts are public: `bequest.nn.facts` (`OrthogonalTransform`, and the baselines `Rotation` and
`Translation`, which are RotatE and TransE), `bequest.nn.fact_context`, the sampler
`bequest.memory.corrupted_facts`, and the ranking `bequest.metrics.link_prediction`. Everything is
in float32 whatever the run's precision: a distance is a small difference of large numbers.

Differs: phi is computed by QR with fixed signs: the same matrix, closer to orthogonal.
Differs: distances in which the candidates themselves would be turned are turned back as a whole,
which changes no length and turns one vector a query instead of one a candidate.
Differs: two learnt vectors stand for missing neighbours; the authors' code turns one dummy entity
by one dummy relation, forth and back.
Differs: negatives are drawn exactly from the entities that make no training fact, not by redrawing.
Trap: the way back is not the inverse of the way forth unless `scale` is "none".
Trap: `margin` and `context_margin` are apart because the context's score is a mean of distances.
Trap: a batch's own facts send no messages in its step; with them, a fact would answer itself.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.losses.self_adversarial import self_adversarial_loss
from bequest.memory.corrupted_facts import CorruptedFacts
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.fact_context import ContextTransform, Distance
from bequest.nn.facts import FactModel, OrthogonalTransform, Rotation, Translation
from bequest.ops.triples import check_triples
from bequest.run import Result, Run
from bequest.run.update import update
from bequest.synthesis.observer import Monitor

_DISTANCES: dict[str, tuple[Distance, ...]] = {
    "both": ("forth", "back", "incoming", "outgoing"),
    "incoming": ("forth", "back", "incoming"),
    "outgoing": ("forth", "back", "outgoing"),
    "alone": ("incoming", "outgoing"),
    "two-way": ("forth", "back"),
}


@method
class OTE:
    """Orthogonal transform embedding with graph context (the authors' settings for FB15k-237)."""

    transform: Literal["orthogonal", "rotation", "translation"] = "orthogonal"
    """What a relation does: OTE, or the baselines RotatE and TransE, which take no context."""
    dim: Count = 400
    """Numbers an entity; d in the paper."""
    block_size: Count = 20
    """Side of the orthogonal matrices; 20 on FB15k-237, 4 on WN18RR."""
    scale: Literal["exp", "abs", "none"] = "exp"
    """How a relation scales before it turns; the authors' recipes take exp."""
    margin: Positive = 15.0
    """gamma: the score of a distance of 0, in the first phase."""
    negatives: Count = 256
    """Corrupted entities a fact."""
    adversarial_temperature: NonNegative = 0.5
    """alpha: how much more high-scoring negatives weigh; 0 weighs all alike."""
    batch_size: Count = 500
    """Facts a step; heads and tails are asked for by turns."""
    steps: Count = 250_000
    """Steps of the first phase, without context."""
    learning_rate: Positive = 0.002
    """Of the first phase's Adam."""
    decay: Fraction = 0.5
    """The rate is multiplied with it ..."""
    decay_every: Count = 25_000
    """... whenever so many steps have passed."""
    context: Literal["both", "incoming", "outgoing", "alone", "two-way", "none"] = "both"
    """What the second phase scores by: both plain distances and both contexts, or one context, or
    contexts alone, or no context (`two-way`); `none` goes on with the first phase's score."""
    aggregator: Literal["attention", "mean_self"] = "attention"
    """How neighbours are brought together: the authors' code's default, or the paper's mean."""
    context_margin: Positive = 12.0
    """`margin` of the second phase, unless `context` is none."""
    context_temperature: NonNegative = 1.4
    """`adversarial_temperature` of the second phase, unless `context` is none."""
    context_batch_size: Count = 100
    """Facts a step of the second phase."""
    context_steps: NonNegativeInt = 60_000
    """Steps of the second phase; 0 leaves it out."""
    context_learning_rate: Positive = 2e-4
    """Of the second phase's Adam."""
    context_decay_every: Count = 8_000
    """Of the second phase's rate."""

    def fit(
        self,
        train: Tensor,
        *,
        num_entities: int,
        num_relations: int,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Embeds the entities and relations of a knowledge graph.

        Args:
            train: Facts, columns head, relation, tail `(facts, 3)`, int64; repeated ones count
                once.
            num_entities: Entities there are, also those without a fact.
            num_relations: Relations there are.
            run: How to execute.
            monitor: Figures to report during the run and at its end, in the section `evaluation`;
                gets the `FactModel`.

        Returns:
            The last model, a `bequest.nn.facts.FactModel`, with the monitor's figures.

        Raises:
            InputError: For facts that cannot be used, and for settings that do not fit together.
        """
        sizes = {"num_entities": num_entities, "num_relations": num_relations}
        check_triples(train, **sizes, name="train")
        if self.context != "none" and self.transform != "orthogonal":
            raise InputError(
                f"context is '{self.context}' and transform '{self.transform}': context needs the "
                "orthogonal transform. Set context to none."
            )
        facts = torch.unique(train.to(run.device), dim=0)
        model = self.model(**sizes, run=run)

        batches = CorruptedFacts(
            facts, **sizes, batch_size=self.batch_size, negatives=self.negatives
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.decay_every, self.decay)
        state = {"model": model, "optimizer": optimizer, "schedule": schedule, "batches": batches}
        for _ in run.steps(self.steps, name="embedding", state=state):
            if run.due(times=5):
                observe_facts(model, run, monitor)
            corruption_step(
                model, batches, optimizer, run, temperature=self.adversarial_temperature
            )
            schedule.step()

        model = self.in_context(model, facts, run=run)
        batches = CorruptedFacts(
            facts, **sizes, batch_size=self.context_batch_size, negatives=self.negatives
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=self.context_learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.context_decay_every, self.decay)
        state = {"model": model, "optimizer": optimizer, "schedule": schedule, "batches": batches}
        plain = self.context == "none"
        temperature = self.adversarial_temperature if plain else self.context_temperature
        for _ in run.steps(self.context_steps, name="context", state=state):
            if run.due(times=5):
                observe_facts(model, run, monitor)
            corruption_step(model, batches, optimizer, run, temperature=temperature)
            schedule.step()
        return run.result(model, observe_facts(model, run, monitor))

    def model(self, *, num_entities: int, num_relations: int, run: Run) -> FactModel:
        """The model of the first phase before its first step."""
        sizes = (num_entities, num_relations)
        generator = run.stream("weights")
        if self.transform == "translation":
            return Translation(*sizes, dim=self.dim, margin=self.margin, generator=generator)
        if self.transform == "rotation":
            return Rotation(*sizes, dim=self.dim, margin=self.margin, generator=generator)
        return OrthogonalTransform(
            *sizes,
            dim=self.dim,
            block_size=self.block_size,
            scale=self.scale,
            margin=self.margin,
            generator=generator,
        )

    def in_context(self, model: FactModel, facts: Tensor, *, run: Run) -> FactModel:
        """The model of the second phase, with the parameters of the first one's."""
        if not isinstance(model, OrthogonalTransform) or self.context == "none":
            return model
        return ContextTransform(
            model,
            facts,
            margin=self.context_margin,
            aggregator=self.aggregator,
            distances=_DISTANCES[self.context],
            generator=run.stream("context"),
        )


def corruption_step(
    model: FactModel,
    batches: CorruptedFacts,
    optimizer: torch.optim.Optimizer,
    run: Run,
    *,
    temperature: float,
) -> None:
    """One step of self-adversarial negative sampling on the next batch."""
    batch = batches.draw(run.stream("batches"))
    # The batch's facts send no messages: a fact must not be an argument for itself.
    tables = model.tables(removed=batch.places)
    queries = (run.share(batch.anchors), run.share(batch.relations), run.share(batch.candidates))
    scores = model.score(tables, *queries, batch.side)
    losses = self_adversarial_loss(scores[:, 0], scores[:, 1:], temperature=temperature)
    loss = (run.share(batch.weights) * losses).mean()
    update(run, loss, optimizer, model)
    run.log(loss=loss)


def observe_facts(model: FactModel, run: Run, monitor: Monitor | None) -> dict[str, float]:
    """Records the monitor's figures, in the section `evaluation`."""
    if monitor is None:
        return {}
    with run.section("evaluation"):
        figures = monitor(model)
    run.record(**figures)
    return figures
