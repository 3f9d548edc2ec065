"""Link prediction judged by rank: filtered, exact with ties, by side and by kind of relation.

The rank of a fact is the place of its missing end among all entities, with those removed that
answer the same query by another known fact. Ties count as the middle of the places they share (the
*realistic* rank), so that a model that scores everything alike gets the rank of guessing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bequest.errors import InputError, NotFiniteError
from bequest.ops.triples import (
    CATEGORIES,
    SIDES,
    Answers,
    Side,
    check_triples,
    relation_categories,
)

Scorer = Callable[[Tensor, Tensor, Side], Tensor]
"""From anchors and relations `(queries,)` and the side asked for to scores `(queries, entities)`,
larger for truer."""

HITS = (1, 3, 10)
_UNKNOWN = "There are facts to rank that the known facts lack: add them to these."


@torch.no_grad()
def filtered_ranks(
    score: Scorer, triples: Tensor, known: Answers, *, batch_size: int = 128
) -> Tensor:
    """The realistic filtered rank of one end of each fact.

    Each query is scored once, however many of the facts answer it. Other answers are not masked:
    how many of them stand before the fact is counted and taken off.

    Args:
        score: Scores all entities for a batch of queries.
        triples: Facts to rank `(facts, 3)`, all of them in `known`.
        known: Answers by all known facts: training, validation and test; its side is ranked.
        batch_size: Queries scored at a time.

    Returns:
        `(facts,)`, float64, at least 1, in halves.

    Raises:
        InputError: For facts that are not in `known`.
        NotFiniteError: When a score is NaN.
    """
    place = known.places(triples)
    answer = triples[:, 2 if known.side == "tail" else 0]
    places, query = torch.unique(place, return_inverse=True)
    if len(places) and int(places[-1]) == len(known.queries):
        raise InputError(_UNKNOWN)
    # Grouped by query, and queries by relation, so that a batch shares relations.
    relations = known.queries[places] % known.num_relations
    by_relation = relations.argsort(stable=True)
    position = torch.empty_like(by_relation)
    position[by_relation] = torch.arange(len(by_relation), device=position.device)
    order = position[query].argsort(stable=True)
    rows = torch.bincount(position[query], minlength=len(places)).tolist()
    ranks = torch.empty(len(triples), dtype=torch.float64, device=triples.device)
    done = 0
    for batch in by_relation.split(batch_size):
        keys = known.queries[places[batch]]
        scores = score(keys // known.num_relations, keys % known.num_relations, known.side)
        start = int(position[batch[0]])
        count = sum(rows[start : start + len(batch)])
        facts = order[done : done + count]
        done += count
        ranks[facts] = _ranks(scores, position[query[facts]] - start, answer[facts], known,
                              places[batch])  # fmt: skip
    return ranks


def _ranks(scores: Tensor, row: Tensor, answer: Tensor, known: Answers, places: Tensor) -> Tensor:
    """Ranks of `answer` `(facts,)` in the rows `row` of `scores` `(queries, entities)`."""
    if scores.isnan().any():
        raise NotFiniteError("A score is NaN: facts cannot be ranked.")
    own, scores = scores[row, answer], scores[row]
    above, level = scores > own[:, None], scores == own[:, None]
    # What the other answers of each query contribute; the fact itself is level with itself.
    fact, entity = known.gather(places[row])
    if int((entity == answer[fact]).sum()) != len(answer):
        raise InputError(_UNKNOWN)
    others_above = torch.zeros_like(own).index_add(0, fact, above[fact, entity].to(own.dtype))
    others_level = torch.zeros_like(own).index_add(0, fact, level[fact, entity].to(own.dtype))
    before = above.sum(1) - others_above
    ties = level.sum(1) - others_level
    return 1 + before.double() + ties.double() / 2


def rank_facts(
    score: Scorer, triples: Tensor, known: Mapping[Side, Answers], *, batch_size: int = 128
) -> Tensor:
    """Filtered ranks of both ends of each fact, `(facts, 2)`: of the head, then of the tail.

    Args:
        score: Scores all entities for a batch of queries.
        triples: Facts to rank `(facts, 3)`.
        known: Answers by all known facts, for both sides.
        batch_size: Queries scored at a time.

    Raises:
        InputError: For facts that are not in `known`.
        NotFiniteError: When a score is NaN.
    """
    ranks = [filtered_ranks(score, triples, known[side], batch_size=batch_size) for side in SIDES]
    return torch.stack(ranks, 1)


def rank_metrics(
    score: Scorer, test: Tensor, known: Tensor, *, num_entities: int, num_relations: int
) -> dict[str, float]:
    """Everything that is reported of link prediction, from facts alone.

    Args:
        score: Scores all entities for a batch of queries.
        test: Facts to rank `(facts, 3)`.
        known: All known facts, those of training, validation and test.
        num_entities: Entities there are.
        num_relations: Relations there are.

    Returns:
        What `rank_figures` and `figures_by_category` give.

    Raises:
        InputError: For facts about unknown entities, or test facts that are not in `known`.
    """
    sizes = {"num_entities": num_entities, "num_relations": num_relations}
    check_triples(test, **sizes, name="test")
    check_triples(known, **sizes, name="known")
    answers = {side: Answers.of(known, side, **sizes) for side in SIDES}
    ranks = rank_facts(score, test, answers)
    categories = relation_categories(known, **sizes)[test[:, 1]]
    return rank_figures(ranks) | figures_by_category(ranks, categories)


def rank_figures(ranks: Tensor) -> dict[str, float]:
    """`mrr` and `hits_at_1`, `_3`, `_10` in percent, and `mean_rank`, of ranks of any shape."""
    if not ranks.numel():
        raise InputError("There is no rank to sum up: no fact was ranked.")
    figures = {"mrr": 100 * ranks.reciprocal().mean().item(), "mean_rank": ranks.mean().item()}
    # A rank in halves lies within the first k when the middle of its tie does.
    return figures | {f"hits_at_{k}": 100 * (ranks <= k).double().mean().item() for k in HITS}


def figures_by_category(ranks: Tensor, categories: Tensor) -> dict[str, float]:
    """The `mrr` by side, and by kind of relation and side, in percent.

    Args:
        ranks: `(facts, 2)`, of heads and of tails.
        categories: Of each fact's relation `(facts,)`, see
            `bequest.ops.triples.relation_categories`.

    Returns:
        `mrr_of_heads`, `mrr_of_tails`, and for each kind that occurs `mrr_1_to_n`,
        `mrr_1_to_n_heads` and `mrr_1_to_n_tails` (of both ends, of heads, of tails).
    """
    reciprocal = 100 * ranks.reciprocal()
    heads, tails = reciprocal.mean(0).tolist()
    figures = {"mrr_of_heads": heads, "mrr_of_tails": tails}
    for number, name in enumerate(CATEGORIES):
        own = reciprocal[categories == number]
        if len(own):
            heads, tails = own.mean(0).tolist()
            figures |= {
                f"mrr_{name}": (heads + tails) / 2,
                f"mrr_{name}_heads": heads,
                f"mrr_{name}_tails": tails,
            }
    return figures
