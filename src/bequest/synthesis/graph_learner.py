"""The student's side of distillation on graphs: Adam on answers that the teacher gave before."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from bequest.losses.distillation import agreement, kl_divergence
from bequest.ops.graphs import Graphs
from bequest.run import Run
from bequest.run.update import update
from bequest.synthesis.observer import Monitor


@dataclass(frozen=True, kw_only=True)
class GraphLearnerSettings:
    """How a student learns from graphs; every graph method has fields of these names."""

    student_steps: int
    batch_size: int
    temperature: float
    learning_rate: float

    @classmethod
    def of(cls, method: Any) -> GraphLearnerSettings:
        """The settings out of a method."""
        return cls(**{field.name: getattr(method, field.name) for field in fields(cls)})


class GraphLearner:
    """Adam on `T^2 KL(teacher || student)`; the learning rate falls to 0 in a straight line.

    Graphs are not augmented, so the teacher answers once on each and is not asked again.

    Args:
        student: On the run's device; takes `(features, edges, graph of each node)`.
        method: Has the fields of `GraphLearnerSettings`.
        run: Its stream `student` draws the batches.
    """

    def __init__(self, student: nn.Module, method: Any, run: Run) -> None:
        self.student, self.run = student, run
        self.settings = GraphLearnerSettings.of(method)
        self.optimizer = torch.optim.Adam(student.parameters(), lr=self.settings.learning_rate)

    def step(self, graphs: Graphs, logits: Tensor) -> None:
        """One update on a batch drawn without repeats.

        Args:
            graphs: All that there are, on the device.
            logits: The teacher's, `(graphs, classes)`.
        """
        s = self.settings
        order = torch.randperm(
            len(graphs), generator=self.run.stream("student"), device=logits.device
        )
        places = self.run.share(order[: s.batch_size])
        batch = graphs.take(places)
        with self.run.autocast():
            answer = self.student(batch.features, batch.edges, batch.owner)
        loss = kl_divergence(answer, logits[places], temperature=s.temperature).mean()
        rate = s.learning_rate * (1 - self.run.fraction)
        update(self.run, loss, self.optimizer, self.student, rate=rate)
        self.run.log(loss=loss)

    def state_dict(self) -> dict[str, Any]:
        """Student and optimizer, for a checkpoint."""
        return {"student": self.student.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])


@torch.inference_mode()
def predict_graphs(network: nn.Module, graphs: Graphs, run: Run) -> Tensor:
    """Logits `(graphs, classes)` in eval mode, in one forward pass."""
    training = network.training
    network.eval()
    with run.autocast():
        logits: Tensor = network(graphs.features, graphs.edges, graphs.owner).float()
    network.train(training)
    return logits.clone()


def observe_graphs(
    student: nn.Module, graphs: Graphs, logits: Tensor, run: Run, monitor: Monitor | None
) -> dict[str, float]:
    """Records agreement with the teacher on these graphs (%), and `monitor`'s figures.

    Args:
        student: Left as it is.
        graphs: What the student trains on.
        logits: The teacher's on them.
        run: Takes the figures; the time goes to the section `evaluation`.
        monitor: More figures.

    Returns:
        What was recorded.
    """
    with run.section("evaluation"):
        answer = predict_graphs(student, graphs, run)
        figures = {"agreement": 100 * agreement(answer, logits).item()}
        if monitor is not None:
            figures |= monitor(student)
    run.record(**figures)
    return figures
