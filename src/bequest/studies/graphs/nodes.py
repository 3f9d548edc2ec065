"""What studies on nodes of a graph share: graph, teacher, student, figures, the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bequest.data.node_graphs import NodeGraphData, load_node_graph
from bequest.metrics.fairness import fairness_figures
from bequest.nn.label_propagation import LabelPropagation
from bequest.nn.node_networks import build_node_network, predict_nodes
from bequest.ops.node_graphs import NodeGraph
from bequest.run import Result, Run
from bequest.run.pictures import drawn
from bequest.studies.teachers import kept
from bequest.synthesis.observer import Monitor

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies on nodes."""

    data: str
    teacher: str
    student: str
    teacher_epochs: int
    note: str


_BIASED = (
    "a generated graph of 2,000 nodes, whose labels, features and edges depend on the group in a "
    "way that is known"
)
_GERMAN = "German credit: 1,000 people, 21,742 ties; the largest class has 70 % of them"
# Two layers: on the validation nodes of both graphs better than the three of the authors' GCN.
_NETWORKS = {
    "": ("gcn-2-64", "gcn-2-16"),
    "-sage": ("sage-2-64", "sage-2-16"),
    "-appnp": ("appnp-2-64", "appnp-2-8"),
    "-propagation": ("gcn-2-64", "propagation-8-64"),
}
_DATA = {"default": ("biased", _BIASED), "german": ("german", _GERMAN)}
SETTINGS = {
    f"{size}{networks}": Setting(
        data=data,
        teacher=teacher,
        student=student,
        teacher_epochs=200,
        note=f"{note}; {teacher} to {student}, half of the nodes for training, split anew and a "
        "teacher trained on the spot for each seed",
    )
    for size, (data, note) in _DATA.items()
    for networks, (teacher, student) in _NETWORKS.items()
} | {
    "smoke": Setting(
        data="biased",
        teacher="gcn-2-8",
        student="gcn-2-8",
        teacher_epochs=20,
        note=f"{_BIASED}; gcn-2-8 to gcn-2-8; seconds",
    )
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def execute(method: Any, size: str, run: Run) -> Result:
    """Trains the teacher, runs the method, evaluates on the test nodes.

    Split, teacher and initial student depend on the seed and the size alone, so arms are paired.
    Figures with `teacher_` are the teacher's, those with `validation_` were seen during the run;
    `majority` is the accuracy of naming the largest class.
    """
    setting = SETTINGS[size]
    data = load_node_graph(setting.data, seed=run.seed)
    graph = data.graph.to(run.device)
    teacher = trained_node_classifier(
        setting.teacher, data, epochs=setting.teacher_epochs, seed=run.seed, run=run
    )
    logits = predict_nodes(run.place(teacher), graph.features, graph.edges)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        student = node_student(setting.student, data.graph, columns=method.proxy_dim)
    result: Result = method.fit(
        run.place(student), graph, logits, run=run, monitor=validation_monitor(graph)
    )
    with run.section("evaluation"):
        of_student = part_figures(result.model, graph)
        of_teacher = part_figures(teacher, graph)
    shown = ("accuracy", "auc", "parity_gap", "opportunity_gap")
    result.metrics = (
        of_student["test"]
        | {f"teacher_{name}": of_teacher["test"][name] for name in shown}
        | result.metrics
        | {"majority": 100 * data.majority}
    )
    picture(run, of_student, of_teacher, gap=f"{method.notion}_gap", majority=100 * data.majority)
    return result


def part_figures(network: nn.Module, graph: NodeGraph) -> dict[str, dict[str, float]]:
    """The figures of `fairness_figures` on the `validation` and on the `test` nodes."""
    logits = predict_nodes(network, graph.features, graph.edges)
    return {
        name: fairness_figures(logits[part], graph.labels[part], graph.sensitive[part])
        for name, part in (("validation", graph.validation), ("test", graph.test))
    }


def node_student(name: str, graph: NodeGraph, *, columns: int) -> nn.Module:
    """An untrained student with so many inputs beside the features.

    Args:
        name: As for `build_node_network`, or `propagation-8-64`: layers and width of label
            propagation, which knows the labels of the training nodes.
        graph: Which it is for.
        columns: Of the proxy.
    """
    sizes = {"num_features": graph.num_features + columns, "num_classes": graph.num_classes}
    kind, *numbers = name.split("-")
    if kind != "propagation":
        return build_node_network(name, **sizes)
    layers, width = map(int, numbers)
    return LabelPropagation(
        **sizes, labels=graph.labels, known=graph.train, layers=layers, width=width
    )


def validation_monitor(graph: NodeGraph) -> Monitor:
    """Accuracy, area under the curve and both gaps on the validation nodes, in percent."""
    part = graph.validation

    def monitor(network: nn.Module) -> dict[str, float]:
        logits = predict_nodes(network, graph.features, graph.edges)[part]
        figures = fairness_figures(logits, graph.labels[part], graph.sensitive[part])
        shown = ("accuracy", "auc", "parity_gap", "opportunity_gap")
        return {f"validation_{name}": figures[name] for name in shown}

    return monitor


def trained_node_classifier(
    name: str,
    data: NodeGraphData,
    *,
    epochs: int,
    seed: int,
    run: Run,
    learning_rate: float = 0.01,
    weight_decay: float = 1e-3,
    dropout: float = 0.8,
) -> nn.Module:
    """A node classifier trained on the training nodes: Adam, cross-entropy, the whole graph a step.

    Rate, decay and dropout are those of the authors' GCN.

    The same arguments give the same network; it is kept in the cache folder. The split of `data`
    must be that of `seed`. The run lends its device and precision only.
    """
    key = f"nodes/{_VERSION}/{name}/{data.name}/{epochs}/{seed}/{learning_rate}"
    key += f"/{weight_decay}/{dropout}"
    # Dropout draws from the global generators, those of the device included.
    devices = [run.device.index or 0] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        sizes = {"num_features": data.graph.num_features, "num_classes": data.graph.num_classes}
        network = build_node_network(name, **sizes, dropout=dropout)

        def train() -> None:
            network.to(run.device).train()
            graph = data.graph.to(run.device)
            labels = graph.labels[graph.train]
            optimizer = torch.optim.Adam(
                network.parameters(), lr=learning_rate, weight_decay=weight_decay
            )
            for _ in range(epochs):
                logits = network(graph.features, graph.edges)[graph.train]
                loss = F.cross_entropy(logits, labels)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

        return kept(network, key, train, run)


def picture(
    run: Run,
    of_student: Mapping[str, Mapping[str, float]],
    of_teacher: Mapping[str, Mapping[str, float]],
    *,
    gap: str,
    majority: float,
) -> None:
    """Accuracy against bias: how the student went on validation nodes, and where it ended."""
    rows = [row for row in run.metrics.rows if f"validation_{gap}" in row]
    path = {
        name: [float(row[f"validation_{name}"]) for row in rows]
        for name in (gap, "accuracy", "auc")
    }
    run.table("accuracy and bias on validation nodes", path)
    if run.folder is None:
        return
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(7.2, 3.2), dpi=120, layout="constrained")
    for axes, figure, label in zip(
        drawing.subplots(1, 2), ("accuracy", "auc"), ("accuracy, %", "area under the ROC curve, %")
    ):
        axes.plot(path[gap], path[figure], color="#b9c4c6", linewidth=1, zorder=1)
        shades = axes.scatter(
            path[gap], path[figure], c=range(len(rows)), cmap="viridis", s=14, zorder=2
        )
        for whose, parts, marker, colour in (
            ("teacher", of_teacher, "s", "#d1495b"),
            ("student", of_student, "*", "#1f6f78"),
        ):
            for part, face in (("validation", "none"), ("test", colour)):
                axes.scatter(
                    parts[part][gap],
                    parts[part][figure],
                    marker=marker,
                    s=90,
                    facecolors=face,
                    edgecolors=colour,
                    label=f"{whose}, {part}",
                    zorder=3,
                )
        axes.set_xlabel(f"{gap.replace('_', ' ')}, points")
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        if figure == "accuracy":
            axes.axhline(majority, color="#999999", linewidth=0.8, linestyle=":", label="majority")
    axes.legend(*drawing.axes[0].get_legend_handles_labels(), frameon=False, fontsize=7)
    drawing.colorbar(shades, ax=drawing.axes, label="validation, early to late", ticks=[])
    run.picture("accuracy against bias", drawn(drawing))
