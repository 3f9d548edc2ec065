"""Facts (head, relation, tail) as rows of numbers: checked, looked up, and corrupted exactly.

A *query* is a fact with one end missing. Its *anchor* is the end that is given: the head where the
tail is asked for, the tail where the head is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bequest.errors import InputError

Side = Literal["head", "tail"]
"""The end that is asked for."""
SIDES: tuple[Side, Side] = ("head", "tail")


def check_triples(triples: Tensor, *, num_entities: int, num_relations: int, name: str) -> None:
    """Refuses what are no facts about these entities and relations.

    Raises:
        InputError: For another shape or type, no fact at all, or an unknown entity or relation.
    """
    if triples.ndim != 2 or triples.shape[1] != 3 or triples.dtype != torch.int64:
        raise InputError(
            f"{name} must be int64 of (facts, 3), columns head, relation, tail, not "
            f"{triples.dtype} of {tuple(triples.shape)}."
        )
    if not len(triples):
        raise InputError(f"{name} holds no fact: the graph is empty.")
    for column, kind, count in ((0, "head", num_entities), (1, "relation", num_relations),
                                (2, "tail", num_entities)):  # fmt: skip
        low, high = int(triples[:, column].min()), int(triples[:, column].max())
        if low < 0 or high >= count:
            raise InputError(
                f"{name} has the {kind} {low if low < 0 else high}, which is unknown: numbers go "
                f"from 0 to {count - 1}. Are the columns head, relation, tail?"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """For each query of some facts, the entities that answer it.

    Built by `of`. Attributes:
        side: The end that is asked for.
        num_entities: Entities there are.
        num_relations: Relations there are.
        queries: `anchor * num_relations + relation`, ascending, each once `(queries,)`.
        starts: Where each query's answers start, and the end of the last one `(queries + 1,)`.
        entities: The answers, grouped by query, ascending within each.
        others_before: Of each answer, how many entities below it do not answer, plus
            `(num_entities + 1)` times the place of its query: ascending throughout.
    """

    side: Side
    num_entities: int
    num_relations: int
    queries: Tensor
    starts: Tensor
    entities: Tensor
    others_before: Tensor

    @classmethod
    def of(cls, triples: Tensor, side: Side, *, num_entities: int, num_relations: int) -> Answers:
        """From facts `(facts, 3)`; repeated ones count once."""
        anchor, answer = (0, 2) if side == "tail" else (2, 0)
        query = triples[:, anchor] * num_relations + triples[:, 1]
        both = torch.unique(query * num_entities + triples[:, answer])
        entities = both % num_entities
        queries, counts = torch.unique_consecutive(both // num_entities, return_counts=True)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        owner = torch.repeat_interleave(counts)
        rank = torch.arange(len(owner), device=owner.device) - starts[owner]
        return cls(
            side=side,
            num_entities=num_entities,
            num_relations=num_relations,
            queries=queries,
            starts=starts,
            entities=entities,
            others_before=owner * (num_entities + 1) + entities - rank,
        )

    def places(self, triples: Tensor) -> Tensor:
        """Which of `queries` each fact answers `(facts,)`; `len(queries)` for none."""
        anchor = triples[:, 0 if self.side == "tail" else 2]
        query = anchor * self.num_relations + triples[:, 1]
        place = torch.searchsorted(self.queries, query)
        known = self.queries[place.clamp(max=len(self.queries) - 1)] == query
        return place.where(known, place.new_tensor(len(self.queries)))

    def counts(self, places: Tensor) -> Tensor:
        """How many answers each query has `(number,)`; 0 for one that is not there."""
        counts = torch.cat([self.starts.diff(), self.starts.new_zeros(1)])
        return counts[places]

    def gather(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """All answers to the queries at `places` `(number,)`.

        Returns:
            For each answer its row in `places`, ascending, and the entity.
        """
        counts = self.counts(places)
        row = torch.repeat_interleave(counts)
        first = self.starts[places] - (counts.cumsum(0) - counts)
        return row, self.entities[torch.arange(len(row), device=row.device) + first[row]]

    def draw_others(self, places: Tensor, number: int, generator: torch.Generator) -> Tensor:
        """Entities that do not answer a query, uniformly, with repeats, without rejection.

        The u-th entity that is no answer lies as far behind u as there are answers before it. Of
        the answers `a_0 < a_1 < ...`, the j-th has `a_j - j` others before it, so that one binary
        search in these numbers finds how many to skip.

        Args:
            places: Of the queries `(batch,)`, as `places` gives them.
            number: Entities to draw for each.
            generator: Decides the draws.

        Returns:
            `(batch, number)`. A query that every entity answers gets any entity.
        """
        counts = self.counts(places)
        others = torch.where(counts < self.num_entities, self.num_entities - counts, counts)
        share = torch.rand(
            (len(places), number), generator=generator, dtype=torch.float64, device=places.device
        )
        drawn = (share * others[:, None]).long()
        base = places[:, None] * (self.num_entities + 1)
        skipped = torch.searchsorted(self.others_before, base + drawn, right=True)
        skipped = skipped - self.starts[places][:, None]
        return drawn + skipped.where((counts < self.num_entities)[:, None], skipped.new_zeros(()))


def subsampling_weights(triples: Tensor, heads: Answers, tails: Answers) -> Tensor:
    """Weights that keep frequent facts from ruling: `1 / sqrt(#(h, r) + #(r, t))`, `(facts,)`.

    Each count starts at 3, as in RotatE's code, whose first sighting counts 4.
    """
    counts = tails.counts(tails.places(triples)) + heads.counts(heads.places(triples)) + 6
    return counts.float().rsqrt()


def relation_categories(
    triples: Tensor, *, num_entities: int, num_relations: int, threshold: float = 1.5
) -> Tensor:
    """Of each relation, whether it joins one or many heads with one or many tails.

    A. Bordes and others, "Translating Embeddings for Modeling Multi-relational Data", NIPS 2013:
    "many" is an average of at least 1.5 heads a tail, or tails a head.

    Returns:
        `(num_relations,)`: 0 for 1-1, 1 for 1-N, 2 for N-1, 3 for N-N (see `CATEGORIES`); -1
        for a relation of which there is no fact.
    """
    many = []
    for side in SIDES:
        options = {"num_entities": num_entities, "num_relations": num_relations}
        answers = Answers.of(triples, side, **options)
        relation = answers.queries % num_relations
        queries = torch.bincount(relation, minlength=num_relations)
        facts = torch.bincount(relation, answers.starts.diff().double(), minlength=num_relations)
        many.append((facts / queries.clamp(min=1) >= threshold).long())
    heads, tails = many
    return torch.where(queries > 0, 2 * heads + tails, -1)


CATEGORIES = ("1_to_1", "1_to_n", "n_to_1", "n_to_n")
"""The names of `relation_categories`."""
