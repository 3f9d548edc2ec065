"""Graph context: what the neighbours of an entity say of it, through the relations between them.

Y. Tang and others, ACL 2020 (GC-OTE). The *incoming* context of an entity gathers `f(h', r')`
over the facts (h', r', entity), the *outgoing* one `b(t', r')` over (entity, r', t'): each
neighbour's own guess of where the entity should be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.facts import FactModel, OrthogonalTransform, Probe, Tables
from bequest.ops.segments import segment_softmax, segment_sum
from bequest.ops.triples import Side, check_triples

Distance = Literal["forth", "back", "incoming", "outgoing"]
"""Which distances a score is the mean of: f(h) to t, b(t) to h, f(h) to the incoming context of t,
b(t) to the outgoing context of h."""
ALL: tuple[Distance, ...] = ("forth", "back", "incoming", "outgoing")
_CHUNK = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Messages:
    """Where each fact's message comes from; a message that several facts send is made once.

    The neighbours of one relation stand together in chunks of one length, filled up with others,
    so that one batched product turns them all.

    Shapes:
        neighbours: `(chunks, chunk)`.
        relations: `(chunks,)`.
        slots: Of each fact `(facts,)`, its message in the flattened `neighbours`.
        targets: Of each fact `(facts,)`, the entity that it tells about.
    """

    neighbours: Tensor
    relations: Tensor
    slots: Tensor
    targets: Tensor

    @classmethod
    def of(cls, triples: Tensor, side: Side, *, num_entities: int, num_relations: int) -> Messages:
        """Messages to the end `side` of facts `(facts, 3)`."""
        neighbour, target = (0, 2) if side == "tail" else (2, 0)
        key = triples[:, 1] * num_entities + triples[:, neighbour]
        messages, message = torch.unique(key, return_inverse=True)
        relation = messages // num_entities
        counts = torch.bincount(relation, minlength=num_relations)
        chunks = (counts + _CHUNK - 1) // _CHUNK
        within = (
            torch.arange(len(messages), device=key.device) - (counts.cumsum(0) - counts)[relation]
        )
        slot = (chunks.cumsum(0) - chunks)[relation] * _CHUNK + within
        neighbours = torch.zeros(int(chunks.sum()) * _CHUNK, dtype=torch.int64, device=key.device)
        neighbours[slot] = messages % num_entities
        return cls(
            neighbours=neighbours.view(-1, _CHUNK),
            relations=torch.repeat_interleave(chunks),
            slots=slot[message],
            targets=triples[:, target],
        )


class ContextTransform(FactModel):
    """`OrthogonalTransform` with graph context inside the distance (GC-OTE).

    The score is the margin less the mean of up to four distances, the same for either end:

        || f(h) - t ||,  || b(t) - h ||,  || f(h) - c_in(t) ||,  || b(t) - c_out(h) ||

    The parameters of `base` are shared, not copied: training goes on with them.

    `"attention"`: softmax of <entity, message> / sqrt(dim) over the messages and one that is
    learnt, which stands for entities without neighbours (the authors' code, whose dummy entity and
    relation send it). `"mean_self"`: the plain mean of the messages and the entity itself.

    Args:
        base: Trained or not.
        triples: Facts that send messages `(facts, 3)`, each once.
        margin: Score of a distance of 0.
        aggregator: How messages are brought together.
        distances: Those of the four that count.
        generator: Draws the start of what stands for no neighbours, on its device.

    Raises:
        InputError: For facts about unknown entities, or no distance.
    """

    def __init__(
        self,
        base: OrthogonalTransform,
        triples: Tensor,
        *,
        margin: float,
        aggregator: Literal["attention", "mean_self"] = "attention",
        distances: Sequence[Distance] = ALL,
        generator: torch.Generator,
    ) -> None:
        sizes = {"num_entities": base.num_entities, "num_relations": base.num_relations}
        check_triples(triples, **sizes, name="the graph")
        if not distances:
            raise InputError(f"No distance is left to score by; choose from {', '.join(ALL)}.")
        super().__init__(**sizes, dim=base.dim, block_size=base.block_size, margin=margin)
        self.base, self.aggregator, self.distances = base, aggregator, tuple(distances)
        self.messages: dict[Side, Messages] = {
            "tail": Messages.of(triples, "tail", **sizes),
            "head": Messages.of(triples, "head", **sizes),
        }
        self.num_facts = len(triples)
        drawn = torch.rand((2, base.dim), generator=generator, device=generator.device)
        learns = aggregator == "attention"
        self.no_neighbours = nn.Parameter(0.01 * (2 * drawn - 1)) if learns else None

    def tables(self, removed: Tensor | None = None) -> Tables:
        """The base's, and `incoming` and `outgoing` contexts where they count.

        Args:
            removed: Places of facts that send nothing, int64. In training these are the facts of
                the batch: a fact that answers its own question would teach nothing.
        """
        tables = self.base.tables()
        if "incoming" in self.distances:
            tables["incoming"] = self._context(tables, "tail", removed)
        if "outgoing" in self.distances:
            tables["outgoing"] = self._context(tables, "head", removed)
        return tables

    def _context(self, tables: Tables, side: Side, removed: Tensor | None) -> Tensor:
        """What is said of each entity as the end `side` of facts, `(num_entities, dim)`."""
        messages, entities = self.messages[side], tables["entities"]
        neighbours = F.embedding(messages.neighbours, entities)
        scale = tables.get("forth" if side == "tail" else "back")
        if scale is not None:
            neighbours = neighbours * F.embedding(messages.relations, scale)[:, None]
        matrices = tables["matrices"][messages.relations]
        blocks = neighbours.unflatten(-1, matrices.shape[1:3]).transpose(1, 2)
        turned = blocks @ (matrices if side == "tail" else matrices.mT)
        said = turned.transpose(1, 2).flatten(2).flatten(0, 1)
        stand_in = None
        if self.no_neighbours is not None:
            stand_in = self.no_neighbours[0 if side == "tail" else 1]
        # With few entities all pairs of entity and message are fewer numbers than what is said.
        dense = self.num_entities * len(said) <= self.num_facts * self.dim
        gather = _gather_in_products if dense else _gather_by_fact
        return gather(entities, said, messages, stand_in, removed)

    def probes(self, tables: Tables, anchors: Tensor, relations: Tensor, side: Side) -> list[Probe]:
        """One for each distance that counts.

        A distance in which the candidate itself would be turned is turned back as a whole, which
        changes no length: the candidate is scaled only, and the anchor's side is turned.
        """
        entities = tables["entities"]
        towards, away = ("forth", "back") if side == "tail" else ("back", "forth")
        of_anchor, of_candidate = (
            ("outgoing", "incoming") if side == "tail" else ("incoming", "outgoing")
        )
        scale = F.embedding(relations, tables[away]) if away in tables else None
        turn = self.base.turn
        probes = []
        # The anchor, turned, beside the candidate and beside what is said of the candidate.
        for name, table in ((towards, "entities"), (of_candidate, of_candidate)):
            if name in self.distances:
                points = turn(tables, F.embedding(anchors, entities), relations, side)
                probes.append(Probe(points=points, table=tables[table]))
        # The candidate, turned the other way, beside the anchor and what is said of the anchor.
        for name, table in ((away, "entities"), (of_anchor, of_anchor)):
            if name in self.distances:
                vectors = F.embedding(anchors, tables[table])
                points = turn(tables, vectors, relations, side, scaled=False)
                probes.append(Probe(points=points, table=entities, scale=scale))
        return probes


def _gather_by_fact(
    entities: Tensor,
    said: Tensor,
    messages: Messages,
    stand_in: Tensor | None,
    removed: Tensor | None,
) -> Tensor:
    """Attention, or without a stand-in the mean with the entity itself, fact by fact."""
    target, count = messages.targets, len(entities)
    kept = torch.ones(len(target), dtype=torch.bool, device=target.device)
    if removed is not None:
        kept[removed] = False
    said = F.embedding(messages.slots, said)
    if stand_in is None:
        total = segment_sum(said * kept[:, None], target, count=count) + entities
        return total / (torch.bincount(target, kept.float(), minlength=count) + 1)[:, None]
    logits = (F.embedding(target, entities) * said).sum(-1).where(kept, -torch.inf)
    logits = torch.cat([logits, entities @ stand_in]) / math.sqrt(entities.shape[1])
    index = torch.cat([target, torch.arange(count, device=target.device)])
    attention = segment_softmax(logits, index, count=count)
    shares, rest = attention[: len(target), None], attention[len(target) :, None]
    return segment_sum(shares * said, target, count=count) + rest * stand_in


def _gather_in_products(
    entities: Tensor,
    said: Tensor,
    messages: Messages,
    stand_in: Tensor | None,
    removed: Tensor | None,
) -> Tensor:
    """The same as `_gather_by_fact`, over all pairs of an entity and a message."""
    targets, slots = messages.targets, messages.slots
    told = torch.zeros(len(entities), len(said), dtype=torch.bool, device=targets.device)
    told[targets, slots] = True
    if removed is not None:
        told[targets[removed], slots[removed]] = False
    if stand_in is None:
        shares = told.to(said.dtype)
        return (shares @ said + entities) / (shares.sum(1, keepdim=True) + 1)
    said = torch.cat([said, stand_in[None]])
    logits = (entities @ said.mT) / math.sqrt(entities.shape[1])
    logits = logits.masked_fill(~F.pad(told, (0, 1), value=True), -torch.inf)
    return logits.softmax(1) @ said
