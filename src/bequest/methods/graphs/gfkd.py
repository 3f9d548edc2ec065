"""GFKD: a smaller graph classifier from a graph classifier alone, without a single graph.

Xiang Deng, Zhongfei Zhang, "Graph-Free Knowledge Distillation for Graph Neural Networks", IJCAI
2021. Fake graphs are learnt until the teacher takes them for members of drawn classes and its
BatchNorm layers see the statistics of training; then the student learns the teacher's answers on
them. A graph is a sample of independent Bernoulli edges, whose parameters are learnt by the ARM
estimator from the values of the loss alone; node features are learnt by back-propagation.

With structure Theta, features F, drawn classes y and teacher T, over all graphs at once:

    L = CE(T(A, X), y) + bn_weight * L_bn + entropy_weight * entropy(X)
    L_bn = sum over BatchNorm layers  || mean - running_mean ||_2 + || var - running_var ||_2

Features follow one of three strategies: labels of nodes are relaxed, `X = softmax(F)`; degrees
follow from the structure; continuous ones are `X = F`. The fake graphs look like no real ones (they
are several times as dense): they carry the teacher's decisions, nothing else.

Networks are called as PyTorch Geometric's, `network(x, edge_index, batch)`; any `nn.Module` that
takes these will do, as teacher and as student.

Differs: features are kept as they were when the loss was the smallest, like the structure; the
authors' code keeps the structure of that step and the features of the last.
Differs: the student's batches are drawn anew at each step, not in epochs.
Differs: self-loops are the network's business (GCN adds them, GIN has the node itself in its sum);
the authors put them into the data of both.
Trap: the structure's learning rate of 1 is Adam's: a logit moves by about 1 a step.
Trap: relaxed features are used in inversion, one-hot ones in distillation, where the teacher
changes its mind on some graphs; `discrete=False` keeps the relaxed ones.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.methods.base import Count, Fraction, NonNegative, Positive, method
from bequest.nn.graph_networks import check_graph_network
from bequest.nn.modes import frozen
from bequest.ops.graphs import Graphs, dense_adjacency
from bequest.run import Result, Run
from bequest.synthesis.graph_inversion import GraphInversionSettings, GraphInverter
from bequest.synthesis.graph_learner import GraphLearner, observe_graphs, predict_graphs
from bequest.synthesis.observer import Monitor


@method
class GFKD:
    """Graph-Free Knowledge Distillation."""

    num_graphs: Count = 131
    """Fake graphs; the paper takes 0.7 of the size of the original data (131 for MUTAG)."""
    min_nodes: Count = 10
    """Nodes of the smallest fake graph; sizes are drawn uniformly, known ones should be used."""
    max_nodes: Count = 29
    """Nodes of the largest fake graph."""
    feature_type: Literal["onehot", "degree", "continuous"] = "onehot"
    """What node features are: labels, degrees that follow from the structure, or numbers."""
    learn_structure: bool = True
    """Whether edges are learnt; otherwise they stay as drawn, half of all pairs (DeepInvG)."""
    learn_features: bool = True
    """Whether features are learnt; without both, random graphs (RandG). Degrees never are."""
    inversion_steps: Count = 1500
    """Steps of the inversion (the authors' script for MUTAG; its default is 2000)."""
    bn_weight: NonNegative = 0.01
    """Of the BatchNorm statistics; 0 for teachers without BatchNorm."""
    entropy_weight: NonNegative = 1e-6
    """Of the entropy of one-hot features (the script for MUTAG; its default is 0.01)."""
    lr_structure: Positive = 1.0
    """Of Adam on the structure's logits."""
    lr_features: Positive = 0.01
    """Of Adam on the features."""
    decay: Fraction = 0.1
    """Both rates are multiplied with it ..."""
    decay_every: Count = 700
    """... whenever so many steps have passed."""
    discrete: bool = True
    """Whether the student sees one-hot features as one-hot; otherwise relaxed ones."""
    student_steps: Count = 1500
    """Steps of the student: the authors' 300 epochs of 131 graphs."""
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
        num_features: int,
        num_classes: int,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains `student` in place to answer as `teacher` does, without any graphs.

        Args:
            teacher: Takes `(x, edge_index, batch)`; with BatchNorm unless `bn_weight` is 0;
                unchanged at the end.
            student: Takes the same.
            num_features: Values a node.
            num_classes: Classes of both networks.
            run: How to execute.
            monitor: Figures to report during the run.

        Returns:
            The student after the last step, with its agreement with the teacher on the fake
            graphs (%), the share of these that the teacher puts into the class they were made for
            (`intended`, %), the smallest loss of the inversion (`objective`) and its negative.

        Raises:
            InputError: For networks that do not take such graphs, a teacher without BatchNorm
                where its statistics have a weight, or sizes that leave no graph.
        """
        sizes = {"num_features": num_features, "num_classes": num_classes}
        check_graph_network(teacher, **sizes, name="teacher")
        check_graph_network(student, **sizes, name="student")
        teacher, student = run.place(teacher), run.place(student).train()
        with frozen(teacher):
            inverter = self.inverter(teacher, **sizes, run=run)
            learner = GraphLearner(student, self, run)
            state = {"inverter": inverter, "learner": learner}

            learns = self.learn_structure or inverter.learns_features
            for _ in run.steps(
                self.inversion_steps if learns else 1, name="inversion", state=state
            ):
                inverter.step()

            taught: tuple[Graphs, Tensor] | None = None
            for _ in run.steps(self.student_steps, name="distillation", state=state):
                # Here and not before the loop: after a resume the first step brings them back.
                taught = taught or self._taught(inverter, run)
                if run.due(times=20):
                    observe_graphs(student, *taught, run, monitor)
                learner.step(*taught)

            graphs, logits = taught or self._taught(inverter, run)
            figures = observe_graphs(student, graphs, logits, run, monitor)
        objective = inverter.best["objective"].item()
        figures |= {
            "intended": 100 * (logits.argmax(1) == inverter.targets).float().mean().item(),
            "objective": objective,
            "negative_objective": -objective,
            "density": _density(graphs),
        }
        run.picture("synthetic", dense_adjacency(graphs)[:64, None])
        return run.result(student, figures)

    def invert(
        self, teacher: nn.Module, *, num_features: int, num_classes: int, run: Run
    ) -> Graphs:
        """The fake graphs alone, for another use than `fit`'s. See there for the arguments."""
        sizes = {"num_features": num_features, "num_classes": num_classes}
        check_graph_network(teacher, **sizes, name="teacher")
        with frozen(run.place(teacher)):
            inverter = self.inverter(teacher, **sizes, run=run)
            for _ in run.steps(self.inversion_steps, name="inversion", state={"all": inverter}):
                inverter.step()
        return inverter.graphs(discrete=self.discrete)

    def inverter(
        self, teacher: nn.Module, *, num_features: int, num_classes: int, run: Run
    ) -> GraphInverter:
        """The inversion before its first step: graphs with drawn sizes, classes, edges, features.

        Arms that differ in what they learn start from the same graphs.
        """
        if self.min_nodes > self.max_nodes:
            raise InputError(
                f"min_nodes is {self.min_nodes} and max_nodes {self.max_nodes}: no size is left."
            )
        shape, rng, device = (self.num_graphs,), run.stream("graphs"), run.device
        low, high = self.min_nodes, self.max_nodes + 1
        return GraphInverter(
            teacher,
            sizes=torch.randint(low, high, shape, generator=rng, device=device),
            targets=torch.randint(num_classes, shape, generator=rng, device=device),
            num_features=num_features,
            settings=GraphInversionSettings.of(self),
            run=run,
        )

    def _taught(self, inverter: GraphInverter, run: Run) -> tuple[Graphs, Tensor]:
        """The finished graphs and the teacher's answers on them."""
        graphs = inverter.graphs(discrete=self.discrete)
        return graphs, predict_graphs(inverter.teacher, graphs, run)


def _density(graphs: Graphs) -> float:
    """Edges, of all ordered pairs of different nodes, in [0, 1]."""
    sizes = torch.bincount(graphs.owner)
    return graphs.edges.shape[1] / max(int((sizes * (sizes - 1)).sum()), 1)
