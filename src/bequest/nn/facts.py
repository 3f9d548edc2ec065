"""Networks that score facts (head, relation, tail) by distances between vectors.

Every one of them turns a query, an entity and a relation with the other end missing, into one or
several *probes*: a point, a table with a row for each entity, and how far a row is from the point.
The score is a margin less the mean distance, so that larger is truer.

What follows from the parameters alone, for example matrices made orthogonal, is computed once by
`tables()` and handed to the scores: once a training step, once an evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.ops.blocks import block_distances, block_distances_to_all, turn_blocks
from bequest.ops.orthogonal import SHORTEST_ROW, orthogonal_rows, repair_rank
from bequest.ops.triples import Side

Tables = dict[str, Tensor]
"""What follows from the parameters, by name."""
Scorer = Callable[[Tensor, Tensor, Side], Tensor]
"""From anchors, relations and the side asked for to scores of every entity."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """Distances `|| scale * table[entity] - point ||`, block by block.

    Shapes:
        points: `(batch, dim)`.
        table: `(num_entities, dim)`.
        scale: `(batch, dim)`, the same for queries of one relation; None is 1.
    """

    points: Tensor
    table: Tensor
    scale: Tensor | None = None


class FactModel(nn.Module):
    """What the networks share: scores from probes.

    Args:
        num_entities: Rows of the table of entities.
        num_relations: Relations there are.
        dim: Numbers an entity.
        block_size: Numbers a block of the distance; divides `dim`.
        margin: Score of a distance of 0.

    Raises:
        InputError: When `dim` is no multiple of `block_size`, or there is nothing to embed.
    """

    def __init__(
        self, num_entities: int, num_relations: int, *, dim: int, block_size: int, margin: float
    ) -> None:
        super().__init__()
        if min(num_entities, num_relations) < 1:
            raise InputError(
                f"There are {num_entities} entities and {num_relations} relations; there must be "
                "at least one of each."
            )
        if dim % block_size:
            raise InputError(
                f"dim is {dim}, block_size {block_size}: dim must be a multiple of it, for example "
                f"{dim + -dim % block_size}."
            )
        self.num_entities, self.num_relations = num_entities, num_relations
        self.dim, self.block_size, self.margin = dim, block_size, margin

    def tables(self, removed: Tensor | None = None) -> Tables:
        """What the scores need, with gradients; `removed` is for networks that look at facts."""
        raise NotImplementedError

    def probes(self, tables: Tables, anchors: Tensor, relations: Tensor, side: Side) -> list[Probe]:
        """What to compare candidates for the end `side` with, for queries `(batch,)`."""
        raise NotImplementedError

    def score(
        self, tables: Tables, anchors: Tensor, relations: Tensor, candidates: Tensor, side: Side
    ) -> Tensor:
        """Scores of candidates `(batch, number)` for queries `(batch,)`."""
        probes = self.probes(tables, anchors, relations, side)
        distances = [
            block_distances(
                probe.points,
                probe.table,
                candidates,
                block_size=self.block_size,
                scale=probe.scale,
            )
            for probe in probes
        ]
        return self.margin - sum(distances[1:], distances[0]) / len(probes)

    def score_all(self, tables: Tables, anchors: Tensor, relations: Tensor, side: Side) -> Tensor:
        """Scores of every entity, `(batch, num_entities)`; cheap when relations repeat."""
        probes = self.probes(tables, anchors, relations, side)
        distances = [self._distances_to_all(probe, relations) for probe in probes]
        return self.margin - sum(distances[1:], distances[0]) / len(probes)

    @torch.no_grad()
    def scorer(self) -> Scorer:
        """`score_all` with tables computed now, for `bequest.metrics.link_prediction`."""
        tables = self.tables()
        return lambda anchors, relations, side: self.score_all(tables, anchors, relations, side)

    def score_hrt(self, triples: Tensor) -> Tensor:
        """Scores of facts `(facts, 3)`, as answers to their tail queries, `(facts,)`."""
        head, relation, tail = triples.unbind(1)
        return self.score(self.tables(), head, relation, tail[:, None], "tail")[:, 0]

    def score_t(self, hr: Tensor) -> Tensor:
        """Scores of every entity as the tail, for columns head, relation `(queries, 2)`."""
        return self.score_all(self.tables(), hr[:, 0], hr[:, 1], "tail")

    def score_h(self, rt: Tensor) -> Tensor:
        """Scores of every entity as the head, for columns relation, tail `(queries, 2)`."""
        return self.score_all(self.tables(), rt[:, 1], rt[:, 0], "head")

    def _distances_to_all(self, probe: Probe, relations: Tensor) -> Tensor:
        if probe.scale is None:
            return block_distances_to_all(probe.points, probe.table, block_size=self.block_size)
        # The scale is the relation's: one scaled table for each relation of the batch.
        distances = probe.points.new_empty(len(relations), len(probe.table))
        for relation in relations.unique():
            own = relations == relation
            table = probe.scale[own][0] * probe.table
            distances[own] = block_distances_to_all(
                probe.points[own], table, block_size=self.block_size
            )
        return distances

    def extra_repr(self) -> str:
        """Sizes, for `repr`."""
        return (
            f"{self.num_entities} entities, {self.num_relations} relations, dim={self.dim}, "
            f"block_size={self.block_size}, margin={self.margin}"
        )


class Translation(FactModel):
    """`h + r` should be `t`, in the L1 distance.

    A. Bordes and others, "Translating Embeddings for Modeling Multi-relational Data" (TransE),
    NIPS 2013; started and trained as RotatE's authors do it.

    Args:
        num_entities: See `FactModel`.
        num_relations: See `FactModel`.
        dim: Numbers an entity.
        margin: Score of a distance of 0.
        generator: Draws the start, on its device.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        dim: int,
        margin: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__(num_entities, num_relations, dim=dim, block_size=1, margin=margin)
        reach = (margin + 2) / dim
        self.entities = _uniform((num_entities, dim), reach, generator)
        self.translations = _uniform((num_relations, dim), reach, generator)

    def tables(self, removed: Tensor | None = None) -> Tables:
        """`entities` and `translations`."""
        return {"entities": self.entities, "translations": self.translations}

    def probes(self, tables: Tables, anchors: Tensor, relations: Tensor, side: Side) -> list[Probe]:
        """One: `h + r` for tails, `t - r` for heads."""
        moved = F.embedding(relations, tables["translations"])
        points = F.embedding(anchors, tables["entities"]) + (moved if side == "tail" else -moved)
        return [Probe(points=points, table=tables["entities"])]


class Rotation(FactModel):
    """Each pair of numbers of `h`, turned by an angle of `r`, should be that of `t`.

    Z. Sun, Z.-H. Deng, J.-Y. Nie, J. Tang, "RotatE", ICLR 2019. The distance is the sum of the
    moduli of the complex differences; angles are stored times `(margin + 2) / (pi * pairs)`, as in
    their code, where it sets how fast they learn.

    Args:
        num_entities: See `FactModel`.
        num_relations: See `FactModel`.
        dim: Numbers an entity, even: twice RotatE's complex ones.
        margin: Score of a distance of 0.
        generator: Draws the start, on its device.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        dim: int,
        margin: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__(num_entities, num_relations, dim=dim, block_size=2, margin=margin)
        self.reach = (margin + 2) / (dim // 2)
        self.entities = _uniform((num_entities, dim), self.reach, generator)
        self.angles = _uniform((num_relations, dim // 2), self.reach, generator)

    def tables(self, removed: Tensor | None = None) -> Tables:
        """`entities`, and the complex numbers to turn with as `cosine` and `sine`."""
        angles = self.angles * (math.pi / self.reach)
        return {"entities": self.entities, "cosine": angles.cos(), "sine": angles.sin()}

    def probes(self, tables: Tables, anchors: Tensor, relations: Tensor, side: Side) -> list[Probe]:
        """One: `h` turned forth for tails, `t` turned back for heads."""
        cosine, sine = (F.embedding(relations, tables[name]) for name in ("cosine", "sine"))
        sine = sine if side == "tail" else -sine
        real, imaginary = F.embedding(anchors, tables["entities"]).unflatten(-1, (-1, 2)).unbind(-1)
        turned = (real * cosine - imaginary * sine, real * sine + imaginary * cosine)
        return [Probe(points=torch.stack(turned, -1).flatten(-2), table=tables["entities"])]


class OrthogonalTransform(FactModel):
    """Each block of `h`, scaled and turned by an orthogonal matrix of `r`, should be that of `t`.

    Y. Tang, J. Huang, G. Wang, X. He, B. Zhou, "Orthogonal Relation Transforms with Graph Context
    Modeling for Knowledge Graph Embedding" (OTE), ACL 2020. With row vectors, block i, and phi for
    Gram-Schmidt on rows:

        forth: f(h, r)_i = h_i diag(g(s_i)) phi(M_i)            d(h -> t) = sum_i || f(h)_i - t_i ||
        back:  b(t, r)_i = t_i diag(g'(s_i)) phi(M_i)^T         d(t -> h) = sum_i || b(t)_i - h_i ||

    where `g(s) = exp(s)`, `g'(s) = exp(-s)` (`scale="exp"`), `|s|` and `1 / |s|` (`"abs"`), or 1.
    Tails are scored by the first distance, heads by the second.

    Trap: with scales the way back is not the inverse of the way forth, which would scale after
    turning. Both are learnt towards the facts; so it is in the paper.

    Args:
        num_entities: See `FactModel`.
        num_relations: See `FactModel`.
        dim: Numbers an entity.
        block_size: Side of the matrices.
        scale: g, and with it g'.
        margin: Score of a distance of 0.
        generator: Draws the start, on its device.
        reach: Entities start uniform in `[-reach, reach]`.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        dim: int = 400,
        block_size: int = 20,
        scale: Literal["exp", "abs", "none"] = "exp",
        margin: float = 15.0,
        generator: torch.Generator,
        reach: float = 0.01,
    ) -> None:
        super().__init__(num_entities, num_relations, dim=dim, block_size=block_size, margin=margin)
        self.scale = scale
        self.entities = _uniform((num_entities, dim), reach, generator)
        drawn = torch.rand(
            (num_relations, dim // block_size, block_size, block_size),
            generator=generator,
            device=generator.device,
        )
        self.matrices = nn.Parameter(orthogonal_rows(repair_rank(drawn).double())[0].float())
        start = torch.full((num_relations, dim), float(scale == "abs"), device=generator.device)
        self.scales = None if scale == "none" else nn.Parameter(start)

    def orthogonal_relations(self) -> Tensor:
        """Phi of all matrices, `(num_relations, blocks, n, n)`; singular ones are repaired."""
        turned, lengths = orthogonal_rows(self.matrices)
        if (lengths < SHORTEST_ROW).any():
            self.matrices.data.copy_(repair_rank(self.matrices))
            turned, _ = orthogonal_rows(self.matrices)
        return turned

    def tables(self, removed: Tensor | None = None) -> Tables:
        """`entities`, `matrices` (orthogonal), and with scales `forth` and `back`."""
        tables = {"entities": self.entities, "matrices": self.orthogonal_relations()}
        if self.scales is not None and self.scale == "exp":
            tables |= {"forth": self.scales.exp(), "back": (-self.scales).exp()}
        elif self.scales is not None:
            size = self.scales.abs()
            tables |= {"forth": size, "back": 1 / (size + 1e-9)}
        return tables

    def probes(self, tables: Tables, anchors: Tensor, relations: Tensor, side: Side) -> list[Probe]:
        """One: `f(h, r)` for tails, `b(t, r)` for heads."""
        turned = self.turn(tables, F.embedding(anchors, tables["entities"]), relations, side)
        return [Probe(points=turned, table=tables["entities"])]

    def turn(
        self, tables: Tables, vectors: Tensor, relations: Tensor, side: Side, *, scaled: bool = True
    ) -> Tensor:
        """Vectors `(batch, dim)` forth, towards tails, or back, towards heads."""
        scale = tables.get("forth" if side == "tail" else "back")
        if scaled and scale is not None:
            vectors = vectors * F.embedding(relations, scale)
        # As rows of a table: the gradient of `embedding` adds up faster than that of an index.
        matrices = tables["matrices"]
        chosen = F.embedding(relations, matrices.flatten(1))
        matrices = chosen.unflatten(-1, matrices.shape[1:])
        return turn_blocks(vectors, matrices if side == "tail" else matrices.mT)


def _uniform(shape: tuple[int, ...], reach: float, generator: torch.Generator) -> nn.Parameter:
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return nn.Parameter((2 * drawn - 1) * reach)
