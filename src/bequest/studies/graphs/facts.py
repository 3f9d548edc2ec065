"""What studies of knowledge graphs share: the facts, the ranking, the picture by relation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from bequest.data.knowledge import KnowledgeGraph, is_here, load_knowledge_graph
from bequest.metrics.link_prediction import figures_by_category, rank_facts, rank_figures
from bequest.nn.facts import FactModel
from bequest.ops.triples import CATEGORIES, SIDES, Answers, relation_categories
from bequest.run import Result, Run
from bequest.run.pictures import drawn
from bequest.synthesis.observer import Monitor


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies of knowledge graphs."""

    data: str
    note: str
    watched: int = 1000
    """Validation facts that are ranked during a run, at most."""


_FAMILIES = "862 + 107 + 107 generated facts of 121 people and 12 kinds of kin"
_KINSHIPS = (
    "Kinships out of PyKEEN's package: 8,544 + 1,068 + 1,074 facts, 104 people, 25 kinds of kin"
)
_HERE = is_here("kinships")
SETTINGS = {
    "default": Setting(
        data="kinships" if _HERE else "families",
        note=_KINSHIPS
        if _HERE
        else f"{_FAMILIES}, because PyKEEN, whose package has Kinships, is not installed",
    ),
    "umls": Setting(
        data="umls",
        note="UMLS out of PyKEEN's package: 5,216 + 652 + 661 facts, 135 medical things, 46 "
        "relations",
    ),
    "fb15k-237": Setting(
        data="fb15k-237",
        note="FB15k-237: 272,115 + 17,535 + 20,466 facts of Freebase, 14,541 entities, 237 "
        "relations; hours on a GPU",
    ),
    "smoke": Setting(data="families", note=f"{_FAMILIES}; seconds", watched=50),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def execute(method: Any, size: str, run: Run) -> Result:
    """Embeds the training facts and ranks the test facts among all entities, both ends.

    During the run the validation facts are ranked, which decides nothing. Figures are in percent
    but for `mean_rank`; those with `validation_` before them are the monitor's last.
    """
    setting = SETTINGS[size]
    graph = load_knowledge_graph(setting.data)
    sizes = {"num_entities": graph.num_entities, "num_relations": graph.num_relations}
    known_facts = graph.known.to(run.device)
    known = {side: Answers.of(known_facts, side, **sizes) for side in SIDES}
    monitor = validation_monitor(graph, known, run, watched=setting.watched)
    result: Result = method.fit(graph.train, **sizes, run=run, monitor=monitor)
    with run.section("evaluation"):
        test = graph.test.to(run.device)
        ranks = rank_facts(cast(FactModel, result.model).scorer(), test, known)
    categories = relation_categories(known_facts, **sizes)[test[:, 1]]
    by_category = figures_by_category(ranks, categories)
    result.metrics |= rank_figures(ranks) | by_category
    picture(run, ranks, by_category, num_entities=graph.num_entities)
    return result


def validation_monitor(
    graph: KnowledgeGraph, known: Mapping[Any, Answers], run: Run, *, watched: int
) -> Monitor:
    """MRR and Hits@10 on validation facts, evenly spaced ones where there are many."""
    stride = max(1, len(graph.validation) // watched)
    facts = graph.validation[::stride].to(run.device)

    def monitor(model: nn.Module) -> dict[str, float]:
        figures = rank_figures(rank_facts(cast(FactModel, model).scorer(), facts, known))
        return {f"validation_{name}": figures[name] for name in ("mrr", "hits_at_10")}

    return monitor


def picture(run: Run, ranks: Tensor, figures: Mapping[str, float], *, num_entities: int) -> None:
    """What people look at first: MRR by kind of relation and by end, and how ranks spread."""
    # Powers of two: most ranks are small, and a few are not.
    edges = [float(2**power) for power in range(max(num_entities - 1, 1).bit_length() + 1)]
    counts = torch.histogram(ranks.flatten().cpu(), torch.tensor(edges, dtype=torch.float64)).hist
    run.table("ranks", {"from_rank": edges[:-1], "below": edges[1:], "facts": counts.tolist()})
    if run.folder is None:
        return
    from matplotlib.figure import Figure

    names = [name for name in CATEGORIES if f"mrr_{name}" in figures]
    drawing = Figure(figsize=(5.6, 3.2), dpi=120, layout="constrained")
    axes = drawing.add_subplot()
    for shift, side, colour in ((-0.2, "heads", "#1f6f78"), (0.2, "tails", "#d98e3f")):
        heights = [figures[f"mrr_{name}_{side}"] for name in names]
        places = [place + shift for place in range(len(names))]
        bars = axes.bar(places, heights, width=0.38, color=colour, label=f"predicting {side}")
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
    labels = [name.replace("_to_", "-").upper() for name in names]
    axes.set_xticks(range(len(names)), labels)
    axes.set_ylabel("filtered MRR, %")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    run.picture("MRR by kind of relation", drawn(drawing))
