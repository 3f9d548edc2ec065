"""What studies of assignment share: cost matrices or videos, the split, the figures, the charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bequest.data.mot import BoxSequence, load_sequences
from bequest.methods.matching.glan_lap import GLANLAP
from bequest.metrics.assignment import assignment_figures, cost_figures
from bequest.metrics.tracking import TrackedBoxes, tracking_figures
from bequest.nn.assignment_solvers import CostedSolver, LearnedSolver
from bequest.nn.pair_costs import PairCosts
from bequest.ops.assignment import PairBatch, assignment_matrix, exact_assignment, pad_problems
from bequest.ops.boxes import PAIR_FEATURES
from bequest.run import Result, Run
from bequest.run.pictures import drawn
from bequest.studies.matching.association import association_problems, track


@dataclass(frozen=True, kw_only=True)
class Matrices:
    """One size on cost matrices: independent, uniform costs in [0, 1)."""

    train: int
    sizes: tuple[int, int]
    """Of the training matrices, drawn uniformly between these, rows and columns alike."""
    tests: dict[int, int]
    """How many test matrices, by size; those within `sizes` give the mean figures."""
    note: str


@dataclass(frozen=True, kw_only=True)
class Videos:
    """One size on videos, by the name that `load_sequences` knows."""

    data: str
    note: str


SETTINGS: dict[str, Matrices | Videos] = {
    "default": Matrices(
        train=960,
        sizes=(5, 12),
        tests={8: 60, 10: 60, 12: 30, 20: 20, 50: 8, 100: 4, 200: 1, 500: 1},
        note="960 matrices of uniform costs, 5 to 12 rows; tests of 8 to 500 rows, means over the "
        "sizes 8, 10 and 12",
    ),
    "published": Matrices(
        train=8000,
        sizes=(10, 150),
        tests=dict.fromkeys(range(10, 160, 10), 50) | {200: 10, 300: 5, 500: 3},
        note="8,000 matrices of uniform costs, 10 to 150 rows, as the paper's; hours on a CPU",
    ),
    "medium": Matrices(
        train=2000,
        sizes=(10, 50),
        tests={10: 100, 20: 50, 30: 50, 40: 50, 50: 50, 100: 10, 200: 4, 500: 1},
        note="2,000 matrices of uniform costs, 10 to 50 rows; a quarter of an hour",
    ),
    "tud": Videos(
        data="tud",
        note="TUD-Stadtmitte to learn from, TUD-Campus to test on, every frame and every third, "
        "both out of the wheel of motmetrics (extra matching), whose tracker's boxes stand in for "
        "detections",
    ),
    "mot15": Videos(
        data="mot15",
        note="the same with MOT15's public detections, and PETS09-S2L1's first 69 frames to learn "
        "from; files of the cache folder, see bequest.data.mot",
    ),
    "smoke": Matrices(
        train=32, sizes=(3, 6), tests={4: 4, 5: 4, 8: 2}, note="32 tiny matrices; seconds"
    ),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}
_STRIDES = (1, 3)
_VALIDATION = 0.1


def execute(method: Any, size: str, run: Run) -> Result:
    """Draws or reads the problems, which seed and size decide, runs the method and tests it."""
    setting = SETTINGS[size]
    if isinstance(setting, Videos):
        return _on_videos(method, setting, run)
    return _on_matrices(method, setting, run)


def uniform_costs(sizes: list[int], rng: torch.Generator) -> PairBatch:
    """Square matrices of independent costs, uniform in [0, 1)."""
    return pad_problems([torch.rand(n, n, generator=rng) for n in sizes])


def _on_matrices(method: Any, setting: Matrices, run: Run) -> Result:
    low, high = setting.sizes
    # On the CPU, like the exact solver; the method moves them to its device.
    rng = torch.Generator().manual_seed(run.seed)
    drawn_sizes = torch.randint(low, high + 1, (setting.train,), generator=rng).tolist()
    problems = uniform_costs(drawn_sizes, rng)
    tests = {n: uniform_costs([n] * count, rng) for n, count in setting.tests.items()}
    options: dict[str, Any] = {"run": run}
    assignments = exact_assignment(problems)
    if isinstance(method, GLANLAP):
        problems, assignments, options["validation"] = _split(problems, assignments)
    result: Result = method.fit(problems, assignments, **options)
    with run.section("evaluation"):
        result.metrics |= _matrix_figures(result.model.eval(), tests, high, run)
    return result


def _split(
    problems: PairBatch, found: Tensor
) -> tuple[PairBatch, Tensor, tuple[PairBatch, Tensor]]:
    """The last tenth of the training problems chooses the weights."""
    count = len(problems) - max(1, int(_VALIDATION * len(problems)))
    train, held = torch.arange(count), torch.arange(count, len(problems))
    chosen = problems.take(held)
    validation = chosen, found[held, : chosen.values.shape[1]]
    kept = problems.take(train)
    return kept, found[train, : kept.values.shape[1]], validation


@torch.no_grad()
def _matrix_figures(
    model: nn.Module, tests: dict[int, PairBatch], largest: int, run: Run
) -> dict[str, float]:
    """Figures by size, their means over the sizes that were trained on, and a chart and a table.

    `accuracy_slope` is by how many points accuracy changes with each tenfold size, by least
    squares over all sizes.
    """
    rows: dict[int, dict[str, float]] = {}
    for n, problems in tests.items():
        problems = problems.to(run.device)
        optimum = exact_assignment(problems)
        figures = assignment_figures(model, problems, optimum)
        soft = model(problems)
        assign = model.assign
        assert callable(assign)
        figures |= cost_figures(assign(problems), soft, optimum, problems)
        if isinstance(model, CostedSolver) and isinstance(model.solver, LearnedSolver):
            kept = model.solver.soft_and_kept(problems)[1]
            best = assignment_matrix(optimum, kept.shape[2])
            figures["kept_optimal"] = 100 * kept[best].float().mean().item()
        rows[n] = figures
        if n == min(tests):
            _matrices_picture(problems, soft, optimum, run)
    within = [row for n, row in rows.items() if n <= largest]
    beyond = [row for n, row in rows.items() if n > largest]
    means = {name: float(np.mean([row[name] for row in within])) for name in within[0]}
    means["negative_gap"] = -means["gap"]
    if beyond:
        means["accuracy_beyond"] = float(np.mean([row["accuracy"] for row in beyond]))
    slope = np.polyfit(np.log10(list(rows)), [row["accuracy"] for row in rows.values()], 1)[0]
    means["accuracy_slope"] = float(slope)
    for name in ("accuracy", "gap", "feasible"):
        means |= {f"{name}_{n}": row[name] for n, row in rows.items()}
    columns = {name: [row[name] for row in rows.values()] for name in within[0]}
    run.table("by_size", {"rows": [float(n) for n in rows], **columns})
    run.picture("by_size", _size_chart(rows))
    return means


def _matrices_picture(problems: PairBatch, soft: Tensor, optimum: Tensor, run: Run) -> None:
    """Costs, the soft assignment and the optimum of four small problems, dark is small."""
    hard = assignment_matrix(optimum, soft.shape[2]).float()
    some = torch.stack([problems.costs[:4], soft[:4].detach(), hard[:4]], 1)
    run.picture("costs_soft_optimum", some.flatten(0, 1)[:, None])


def _size_chart(rows: dict[int, dict[str, float]]) -> Tensor:
    """Accuracy and conflict-free rows on the left, the optimality gap on the right, by size."""
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, axes in (("accuracy", left), ("feasible", left), ("gap", right)):
        axes.plot(list(rows), [row[name] for row in rows.values()], "o-", label=name)
        axes.set_xscale("log")
        axes.set_xlabel("rows")
        axes.legend()
    left.set_ylabel("%")
    right.set_ylabel("% above the optimum")
    return drawn(figure)


def _on_videos(method: Any, setting: Videos, run: Run) -> Result:
    sequences = load_sequences(setting.data)
    test = sequences.pop("TUD-Campus")
    trained, held = [], []
    for sequence in sequences.values():
        cut = int(0.8 * sequence.frames)
        for stride in _STRIDES:
            # Each phase of a lower frame rate has other pairs of frames.
            for phase in range(stride):
                trained.append(sequence.part(1 + phase, cut).thinned(stride))
                held.append(sequence.part(cut + 1 + phase, sequence.frames).thinned(stride))
    problems, assignments = _joined(trained)
    validation = _joined(held)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        cost_network = PairCosts(PAIR_FEATURES)
    options: dict[str, Any] = {"cost_network": cost_network, "partial": True, "run": run}
    if isinstance(method, GLANLAP):
        options["validation"] = validation
    result: Result = method.fit(problems, assignments, **options)
    with run.section("evaluation"):
        result.metrics |= _tracking(result.model.eval(), test, run)
    return result


def _joined(sequences: list[BoxSequence]) -> tuple[PairBatch, Tensor]:
    """The problems of several videos as one batch."""
    matrices: list[Tensor] = []
    answers: list[Tensor] = []
    for sequence in sequences:
        batch, found = association_problems(sequence)
        for values, rows, columns, answer in zip(batch.values, batch.rows, batch.columns, found):
            matrices.append(values[: int(rows), : int(columns)])
            answers.append(answer[: int(rows)])
    problems = pad_problems(matrices)
    return problems, torch.nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=-1)


def _tracking(model: nn.Module, test: BoxSequence, run: Run) -> dict[str, float]:
    """Association with known tracks, and a tracker's scores: at all rates, and at each."""
    videos = [test.thinned(stride) for stride in _STRIDES]
    problems, found = _joined(videos)
    figures = assignment_figures(model, problems.to(run.device), found.to(run.device))
    tracks = [track(model, video) for video in videos]
    truths = [
        TrackedBoxes(frame=video.truth_frame, identity=video.identity, boxes=video.truth)
        for video in videos
    ]
    figures |= tracking_figures(truths, tracks)
    for stride, truth, found_tracks in zip(_STRIDES, truths, tracks):
        own = tracking_figures([truth], [found_tracks])
        figures |= {f"{name}_stride_{stride}": value for name, value in own.items()}
    run.picture("tracks", _tracks_chart(truths[0], tracks[0]))
    return figures


def _tracks_chart(truth: TrackedBoxes, found: TrackedBoxes) -> Tensor:
    """Where people are across the picture, over time; a colour that changes is a switch."""
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, tracked, title in zip(panels, (truth, found), ("truth", "found")):
        centre = tracked.boxes[:, 0] + tracked.boxes[:, 2] / 2
        axes.scatter(tracked.frame, centre, c=tracked.identity % 20, cmap="tab20", s=3)
        axes.set_title(title)
        axes.set_xlabel("frame")
    panels[0].set_ylabel("pixels from the left")
    return drawn(figure)
