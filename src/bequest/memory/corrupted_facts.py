"""Batches of facts beside corrupted ones, for either end in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bequest.memory.epochs import EpochSampler
from bequest.ops.triples import SIDES, Answers, Side, subsampling_weights


@dataclass(frozen=True, kw_only=True, eq=False)
class FactBatch:
    """A batch of queries with candidates for the end `side`.

    Shapes:
        places: Of the facts in the training set `(batch,)`.
        anchors: The end that is given `(batch,)`.
        relations: `(batch,)`.
        candidates: The true entity, then corrupted ones `(batch, 1 + negatives)`.
        weights: Of each fact in the loss `(batch,)`, with a mean of 1.
    """

    side: Side
    places: Tensor
    anchors: Tensor
    relations: Tensor
    candidates: Tensor
    weights: Tensor


class CorruptedFacts:
    """Draws batches of facts in epochs, heads and tails asked for by turns.

    Corrupted entities are uniform over those that make no fact of the training set: drawn exactly,
    without rejection. Facts of frequent queries weigh less (`subsampling_weights`).

    Args:
        triples: Training facts `(facts, 3)`, each once, checked; on their device all is drawn.
        num_entities: Entities there are.
        num_relations: Relations there are.
        batch_size: Facts a batch; fewer where there are fewer.
        negatives: Corrupted entities a fact.
    """

    def __init__(
        self,
        triples: Tensor,
        *,
        num_entities: int,
        num_relations: int,
        batch_size: int,
        negatives: int,
    ) -> None:
        sizes = {"num_entities": num_entities, "num_relations": num_relations}
        self.triples, self.negatives = triples, negatives
        self.batch_size = min(batch_size, len(triples))
        self.answers = {side: Answers.of(triples, side, **sizes) for side in SIDES}
        self._places = {side: self.answers[side].places(triples) for side in SIDES}
        self._weights = subsampling_weights(triples, self.answers["head"], self.answers["tail"])
        self._epochs = EpochSampler(len(triples), triples.device)
        self._drawn = 0

    def draw(self, generator: torch.Generator) -> FactBatch:
        """The next batch; the one after asks for the other end."""
        places = self._epochs.draw(self.batch_size, generator)
        side: Side = SIDES[self._drawn % 2]
        self._drawn += 1
        head, relation, tail = self.triples[places].unbind(1)
        anchor, answer = (head, tail) if side == "tail" else (tail, head)
        others = self.answers[side].draw_others(
            self._places[side][places], self.negatives, generator
        )
        weights = self._weights[places]
        return FactBatch(
            side=side,
            places=places,
            anchors=anchor,
            relations=relation,
            candidates=torch.cat([answer[:, None], others], dim=1),
            weights=weights / weights.mean(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch stands and whose turn it is, for a checkpoint."""
        return {"epochs": self._epochs.state_dict(), "drawn": self._drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._epochs.load_state_dict(state["epochs"])
        self._drawn = int(state["drawn"])
