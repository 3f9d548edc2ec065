"""An epoch of RotatE and its filtered evaluation, beside PyKEEN's and beside a bare loop.

    python benchmarks/knowledge_graphs.py --json knowledge_graphs.json
    python benchmarks/knowledge_graphs.py --with-pykeen

Kinships out of PyKEEN's package (generated families where it is not installed), entities of 80
numbers (40 complex ones), 64 negatives a fact, batches of 256, self-adversarial loss, Adam, float32
in every row. Ours is the arm `rotate` in a run with a folder: figures logged, a checkpoint at the
end, negatives exactly filtered; PyKEEN's sampler does not filter at its default. The bare loop is
the least that PyTorch needs: gather, rotate, subtract, norm. PyKEEN's own RotatE takes the
Euclidean length of the whole difference, ours and the bare loop the sum of moduli of the paper.

Evaluation ranks both ends of all test facts among all entities, filtered. The scores of one and
the same model, PyKEEN's where it is there, go through PyKEEN's evaluator and through ours, and must
give the same MRR; the loop over facts scores and filters one query a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib import metadata
from typing import Any

import torch
from measure import arguments, environment, interleaved, named, rows_of, show, verdict, write
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.data.knowledge import KnowledgeGraph, is_here, load_knowledge_graph
from bequest.losses.self_adversarial import self_adversarial_loss
from bequest.methods.graphs.ote import OTE
from bequest.metrics.link_prediction import Scorer, rank_metrics
from bequest.nn.facts import Rotation
from bequest.ops.triples import Side
from bequest.run import Run

OURS, BARE, PYKEEN = "ours, with a run's folder", "bare loop", "PyKEEN"
BATCHED, LOOP, EVALUATOR = "ours, batched", "loop over facts", "PyKEEN's evaluator"
EVALUATOR_256 = "PyKEEN's evaluator, batch 256"
TRAINING_TARGET, EVALUATION_TARGET = 2.0, 3.0
MARGIN, TEMPERATURE, RATE = 6.0, 0.5, 0.01


def ours(graph: KnowledgeGraph, *, steps: int, dim: int, negatives: int, batch: int) -> nn.Module:
    """The arm `rotate`, everything on."""
    method = OTE(
        transform="rotation",
        context="none",
        context_steps=0,
        dim=dim,
        negatives=negatives,
        batch_size=batch,
        steps=steps,
        margin=MARGIN,
        adversarial_temperature=TEMPERATURE,
        learning_rate=RATE,
        decay=1.0,
    )
    sizes = {"num_entities": graph.num_entities, "num_relations": graph.num_relations}
    with (
        tempfile.TemporaryDirectory() as folder,
        Run(folder, device="cpu", precision="fp32") as run,
    ):
        return method.fit(graph.train, **sizes, run=run).model


def bare(graph: KnowledgeGraph, *, steps: int, dim: int, negatives: int, batch: int) -> nn.Module:
    """No filter, no weights, no record."""
    generator = torch.Generator().manual_seed(0)
    sizes = (graph.num_entities, graph.num_relations)
    model = Rotation(*sizes, dim=dim, margin=MARGIN, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for step in range(steps):
        places = torch.randint(len(graph.train), (batch,), generator=generator)
        head, relation, tail = graph.train[places].unbind(1)
        side: Side = "tail" if step % 2 else "head"
        anchor, answer = (head, tail) if side == "tail" else (tail, head)
        others = torch.randint(sizes[0], (batch, negatives), generator=generator)
        candidates = torch.cat([answer[:, None], others], dim=1)
        (probe,) = model.probes(model.tables(), anchor, relation, side)
        difference = F.embedding(candidates, model.entities) - probe.points[:, None]
        scores = MARGIN - difference.unflatten(-1, (-1, 2)).norm(dim=-1).sum(-1)
        loss = self_adversarial_loss(scores[:, 0], scores[:, 1:], temperature=TEMPERATURE).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return model


def with_pykeen(
    graph: KnowledgeGraph, *, epochs: int, dim: int, negatives: int, batch: int
) -> tuple[Any, Callable[[], None]]:
    """PyKEEN's model, and what trains it for so many epochs from where it stands."""
    from pykeen.losses import NSSALoss  # type: ignore[import-not-found]
    from pykeen.models import RotatE  # type: ignore[import-not-found]
    from pykeen.training import SLCWATrainingLoop  # type: ignore[import-not-found]
    from pykeen.triples import CoreTriplesFactory  # type: ignore[import-not-found]

    factory = CoreTriplesFactory(
        graph.train, num_entities=graph.num_entities, num_relations=graph.num_relations
    )
    loss = NSSALoss(margin=MARGIN, adversarial_temperature=TEMPERATURE)
    model = RotatE(triples_factory=factory, embedding_dim=dim // 2, loss=loss, random_seed=0)

    def train() -> None:
        SLCWATrainingLoop(
            model=model,
            triples_factory=factory,
            optimizer=torch.optim.Adam(model.parameters(), lr=RATE),
            negative_sampler_kwargs={"num_negs_per_pos": negatives},
        ).train(factory, num_epochs=epochs, batch_size=batch, use_tqdm=False)

    return model, train


def training(
    graph: KnowledgeGraph,
    *,
    dim: int,
    negatives: int,
    batch: int,
    epochs: int,
    repeats: int,
    pykeen: bool,
) -> list[dict[str, Any]]:
    """Times of an epoch."""
    steps = epochs * -(-len(graph.train) // batch)
    sizes = {"dim": dim, "negatives": negatives, "batch": batch}
    calls: dict[str, Callable[[], Any]] = {
        BARE: lambda: bare(graph, steps=steps, **sizes),
        OURS: lambda: ours(graph, steps=steps, **sizes),
    }
    if pykeen:
        calls[PYKEEN] = with_pykeen(graph, epochs=epochs, **sizes)[1]
    times = interleaved(calls, repeats=repeats)
    for clocks in times.values():
        for clock, values in clocks.items():
            clocks[clock] = [value / epochs for value in values]
    return rows_of(times, PYKEEN if pykeen else BARE)


def loop_over_facts(score: Scorer, graph: KnowledgeGraph) -> float:
    """Filtered MRR in percent, a fact and an end at a time."""
    known: dict[tuple[Side, int, int], list[int]] = {}
    for head, relation, tail in graph.known.tolist():
        known.setdefault(("tail", head, relation), []).append(tail)
        known.setdefault(("head", tail, relation), []).append(head)
    total = 0.0
    for fact in graph.test.tolist():
        ends: tuple[tuple[Side, int, int], ...] = (
            ("tail", fact[0], fact[2]),
            ("head", fact[2], fact[0]),
        )
        for side, anchor, answer in ends:
            scores = score(torch.tensor([anchor]), torch.tensor([fact[1]]), side)[0].clone()
            own = scores[answer].item()
            scores[known[side, anchor, fact[1]]] = -torch.inf
            total += 1 / (1 + (scores > own).sum().item() + (scores == own).sum().item() / 2)
    return 100 * total / (2 * len(graph.test))


def evaluation(
    graph: KnowledgeGraph, *, dim: int, epochs: int, repeats: int, pykeen: bool
) -> list[dict[str, Any]]:
    """Times of ranking all test facts, with the MRR that each row arrives at."""
    sizes = {"num_entities": graph.num_entities, "num_relations": graph.num_relations}
    found: dict[str, float] = {}
    options = {"dim": dim, "negatives": 64, "batch": 256}
    steps = epochs * -(-len(graph.train) // 256)
    calls: dict[str, Callable[[], Any]] = {}
    own = ours(graph, steps=steps, **options)
    assert isinstance(own, Rotation)
    own_score = own.scorer()

    def record(name: str, figure: Callable[[], float]) -> Callable[[], None]:
        def call() -> None:
            with torch.no_grad():
                found[name] = figure()

        return call

    def batched(score: Scorer) -> float:
        return rank_metrics(score, graph.test, graph.known, **sizes)["mrr"]

    calls[BATCHED] = record(BATCHED, lambda: batched(own_score))
    calls[LOOP] = record(LOOP, lambda: loop_over_facts(own_score, graph))
    if pykeen:
        from pykeen.evaluation import RankBasedEvaluator  # type: ignore[import-not-found]

        model, train = with_pykeen(graph, epochs=epochs, **options)
        train()
        model.eval()

        def score(anchors: Tensor, relations: Tensor, side: Side) -> Tensor:
            if side == "tail":
                return model.score_t(torch.stack([anchors, relations], dim=1))
            return model.score_h(torch.stack([relations, anchors], dim=1))

        def evaluated(batch: int | None) -> float:
            results = RankBasedEvaluator(filtered=True).evaluate(
                model,
                mapped_triples=graph.test,
                additional_filter_triples=[graph.train, graph.validation],
                batch_size=batch,
                use_tqdm=False,
            )
            return 100 * results.get_metric("both.realistic.inverse_harmonic_mean_rank")

        same = f"{BATCHED}, PyKEEN's scores"
        calls[same] = record(same, lambda: batched(score))
        calls[EVALUATOR] = record(EVALUATOR, lambda: evaluated(None))
        calls[EVALUATOR_256] = record(EVALUATOR_256, lambda: evaluated(256))
    rows = rows_of(interleaved(calls, repeats=repeats), EVALUATOR_256 if pykeen else LOOP)
    for row in rows:
        row["mrr"] = found[row["name"]]
    return rows


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--with-pykeen", action="store_true")
    parser.add_argument("--dim", type=int, default=80)
    parser.add_argument("--negatives", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    graph = load_knowledge_graph("kinships" if is_here("kinships") else "families")
    report: dict[str, Any] = {"environment": environment(torch.device("cpu")), "graph": graph.name}
    if options.with_pykeen:
        report["environment"]["pykeen"] = metadata.version("pykeen")
    common = {"dim": options.dim, "repeats": options.repeats, "pykeen": options.with_pykeen}
    report["options"] = common | {
        "negatives": options.negatives,
        "batch": options.batch,
        "epochs": options.epochs,
    }
    report["training"] = training(
        graph, negatives=options.negatives, batch=options.batch, epochs=options.epochs, **common
    )
    show(console, f"RotatE on {graph.name}, an epoch", report["training"])
    report["evaluation"] = evaluation(graph, epochs=options.epochs, **common)
    show(
        console, f"Ranking {len(graph.test)} test facts", report["evaluation"], more={"mrr": "MRR"}
    )
    if options.with_pykeen:
        for part, row, target in (
            ("training", OURS, TRAINING_TARGET),
            ("evaluation", BATCHED, EVALUATION_TARGET),
        ):
            ratio = named({"rows": report[part]}, row)["speedup"]
            console.print(verdict(f"{part} against PyKEEN", ratio, target))
    write(options.json, report)


if __name__ == "__main__":
    main()
