"""KD on real graphs: the upper control, ordinary distillation on the teacher's training graphs.

Geoffrey Hinton, Oriol Vinyals, Jeff Dean, "Distilling the Knowledge in a Neural Network", NIPS Deep
Learning Workshop 2015. What a graph-free method could reach at best with the same student, loss and
number of student steps.
"""

from __future__ import annotations

from torch import nn

from bequest.methods.base import Count, Positive, method
from bequest.nn.graph_networks import check_graph_network
from bequest.nn.modes import frozen
from bequest.ops.graphs import Graphs
from bequest.run import Result, Run
from bequest.synthesis.graph_learner import GraphLearner, observe_graphs, predict_graphs
from bequest.synthesis.observer import Monitor


@method
class RealGraphKD:
    """Knowledge distillation on real graphs."""

    student_steps: Count = 1500
    """Steps of the student, as GFKD's."""
    batch_size: Count = 32
    """Graphs of a student step."""
    temperature: Positive = 2.0
    """T of the student's loss."""
    learning_rate: Positive = 0.01
    """Of the student's Adam; falls to 0 in a straight line."""

    def fit(
        self,
        teacher: nn.Module,
        student: nn.Module,
        *,
        graphs: Graphs,
        num_classes: int,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains `student` in place on the teacher's answers to `graphs`.

        Args:
            teacher: Takes `(x, edge_index, batch)`; unchanged at the end.
            student: Takes the same.
            graphs: The real ones; their labels are not used.
            num_classes: Classes of both networks.
            run: How to execute.
            monitor: Figures to report during the run.

        Raises:
            InputError: For networks that do not take such graphs.
        """
        sizes = {"num_features": graphs.num_features, "num_classes": num_classes}
        check_graph_network(teacher, **sizes, name="teacher")
        check_graph_network(student, **sizes, name="student")
        teacher, student = run.place(teacher), run.place(student).train()
        graphs = graphs.to(run.device)
        with frozen(teacher):
            logits = predict_graphs(teacher, graphs, run)
        learner = GraphLearner(student, self, run)
        for _ in run.steps(self.student_steps, name="distillation", state={"learner": learner}):
            if run.due(times=20):
                observe_graphs(student, graphs, logits, run, monitor)
            learner.step(graphs, logits)
        return run.result(student, observe_graphs(student, graphs, logits, run, monitor))
