"""What all studies on graphs share: the graphs, the teacher, the student, the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bequest.data.graphs import GraphData, load_graphs
from bequest.losses.distillation import accuracy
from bequest.methods.graphs.real_graph_kd import RealGraphKD
from bequest.nn.graph_networks import build_graph_network
from bequest.run import Result, Run
from bequest.studies.teachers import kept
from bequest.synthesis.graph_learner import predict_graphs
from bequest.synthesis.observer import Monitor

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies on graphs."""

    data: str
    teacher: str
    student: str
    teacher_epochs: int
    note: str


_DATA = {
    "default": ("digit-graphs", 60, "1,347 + 450 handwritten digits as graphs of 13 to 30 pixels"),
    "mutag": ("mutag", 300, "MUTAG, 131 + 57 molecules; the largest class has 66.7 % of the tests"),
    "dhfr": ("dhfr", 150, "DHFR, 529 + 227 molecules; the largest class has 60.8 % of the tests"),
}
_NETWORKS = {
    "": ("gcn-5-64", "gcn-3-32"),
    "-gin": ("gin-5-64", "gin-3-32"),
    "-gcn-to-gin": ("gcn-5-64", "gin-3-32"),
}
SETTINGS = {
    f"{size}{networks}": Setting(
        data=data,
        teacher=teacher,
        student=student,
        teacher_epochs=epochs,
        note=f"{note}; {teacher} to {student}, a teacher trained on the spot for each seed",
    )
    for size, (data, epochs, note) in _DATA.items()
    for networks, (teacher, student) in _NETWORKS.items()
} | {
    "smoke": Setting(
        data="digit-graphs",
        teacher="gcn-3-16",
        student="gcn-3-8",
        teacher_epochs=6,
        note="the digits of the default size, gcn-3-16 to gcn-3-8; seconds",
    )
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def execute(method: Any, size: str, run: Run) -> Result:
    """Trains the teacher, runs the method without graphs, evaluates on the test graphs.

    Teacher and initial student depend on the seed and the size alone, so arms are paired. Beside
    the accuracy stands `majority`, the share of the largest class: what knowing nothing gives.
    """
    setting = SETTINGS[size]
    graphs = load_graphs(setting.data)
    sizes = {"num_features": graphs.num_features, "num_classes": graphs.num_classes}
    teacher = trained_graph_classifier(
        setting.teacher, graphs, epochs=setting.teacher_epochs, seed=run.seed, run=run
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        student = build_graph_network(setting.student, **sizes)
    monitor = test_monitor(graphs, run)
    options: dict[str, Any] = {"run": run, "monitor": monitor}
    if isinstance(method, RealGraphKD):
        options |= {"graphs": graphs.train, "num_classes": graphs.num_classes}
    else:
        options |= sizes
    result: Result = method.fit(teacher, student, **options)
    result.metrics["teacher_accuracy"] = monitor(run.place(teacher))["accuracy"]
    result.metrics["majority"] = 100 * graphs.majority
    return result


def test_monitor(graphs: GraphData, run: Run) -> Monitor:
    """Accuracy on the test graphs, in percent."""
    test, labels = graphs.test.to(run.device), graphs.test_labels.to(run.device)

    def monitor(network: nn.Module) -> dict[str, float]:
        return {"accuracy": 100 * accuracy(predict_graphs(network, test, run), labels).item()}

    return monitor


def trained_graph_classifier(
    name: str,
    graphs: GraphData,
    *,
    epochs: int,
    seed: int,
    run: Run,
    batch_size: int = 32,
    learning_rate: float = 0.01,
) -> nn.Module:
    """A graph network trained on the training graphs: Adam, a learning rate that falls to 0.

    The same arguments give the same network; it is kept in the cache folder. The run lends its
    device and precision only: its budget, steps and random state are left alone.
    """
    key = f"graphs/{_VERSION}/{name}/{graphs.name}/{epochs}/{seed}/{batch_size}/{learning_rate}"
    # Dropout draws from the global generators, those of the device included.
    devices = [run.device.index or 0] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        network = build_graph_network(
            name, num_features=graphs.num_features, num_classes=graphs.num_classes
        )

        def train() -> None:
            network.to(run.device).train()
            data, labels = graphs.train.to(run.device), graphs.train_labels.to(run.device)
            optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
            per_epoch = max(1, len(data) // batch_size)
            for step in range(epochs * per_epoch):
                if step % per_epoch == 0:
                    order = torch.randperm(len(data), device=run.device)
                start = step % per_epoch * batch_size
                places = order[start : start + batch_size]
                batch = data.take(places)
                optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / (epochs * per_epoch))
                with run.autocast():
                    logits = network(batch.features, batch.edges, batch.owner)
                loss = F.cross_entropy(logits.float(), labels[places])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

        return kept(network, key, train, run)
