"""RELIANT: a small graph network that follows a teacher without its bias between two groups.

Yushun Dong, Binchi Zhang, Yiling Yuan, Na Zou, Qi Wang, Jundong Li, "RELIANT: Fair Knowledge
Distillation for Graph Neural Networks", SDM 2023. One graph, a teacher's logits and a sensitive
attribute in, a student out that treats the groups more alike than the teacher does. The student
gets additional inputs P, a *proxy of bias* for each node, learnt to make it as biased as possible.
It is taught, and later used, with the mean of P for every node, so that what P says of a group is
gone; and a penalty on the gap between the groups is added to whatever loss it is distilled with:

    student:  min  L_KD( f([X, mean P]) ) + alpha * gap( softmax f([X, mean P]) )
    proxy:    min  - alpha * gap( softmax f([X, P]) )
    gap       = sum_c ( mean_{s=0} a(p_c) - mean_{s=1} a(p_c) )^2     (label 1 only for opportunity)

The host loss L_KD is any function of the student's logits. Two come along: the one of CPF (Yang,
Liu and Shi, WWW 2021), whose student is `bequest.nn.label_propagation`, and Hinton's. GraphAKD, the
paper's second host, has discriminators of its own and is left to the caller. Everything is in
float32 whatever the run's precision.

Differs: the proxy is added to the features; the authors' code drops the last two features for it.
Differs: equal opportunity takes labels where they may be known and the teacher's class elsewhere;
the authors' code looks at the labels of validation and test nodes.
Differs: the mean row that is deployed is that of the best epoch, as the weights are; the authors'
code takes the last.
Trap: as published, no gradient that teaches the student ever sees P node by node, but only its
mean, a drifting constant: P can hardly take anything over from the features, and the cut in bias
comes from the penalty. `distil_on="proxy"` shows P to the host loss, which the paper's idea asks
for. Each part is a field; compare them before you credit one.
Trap: the sensitive attribute itself stays among the features; what is penalised is its use.
Trap: the norm of CPF is a square root of a sum over nodes and grows with their number, hence its
alpha of 1000, where a mean over nodes takes 10.
Trap: a student that decides the same for everybody is perfectly fair; watch the area under the ROC
curve and the share of positive decisions, not the gap alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.distillation import accuracy, kl_divergence
from bequest.losses.fairness import SoftGroupGap
from bequest.methods.base import Count, NonNegative, Positive, method
from bequest.nn.best_weights import BestWeights
from bequest.nn.modes import frozen
from bequest.ops.node_graphs import NodeGraph
from bequest.run import Result, Run
from bequest.synthesis.observer import Monitor

HostLoss = Callable[[Tensor], Tensor]
"""From the student's logits of all nodes `(nodes, classes)` to what distillation minimises."""


def probability_distance(logits: Tensor, targets: Tensor) -> Tensor:
    """CPF's loss: `|| softmax(logits) - targets ||_2` over nodes and classes, not their mean.

    Args:
        logits: `(nodes, classes)`.
        targets: The teacher's probabilities, of the same shape.
    """
    return torch.linalg.vector_norm(torch.softmax(logits, dim=1) - targets)


class FairStudent(nn.Module):
    """A student with its proxy neutralised: one row for all nodes. It takes plain features.

    Args:
        network: Called as `network(x, edge_index)`, of the features and the proxy's columns.
        columns: How many the proxy has.

    Shapes:
        x: `(nodes, num_features)`; proxy: `(nodes, columns)`, None for the row; the logits:
        `(nodes, classes)`.
    """

    row: Tensor

    def __init__(self, network: nn.Module, columns: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("row", torch.zeros(columns))

    def forward(self, x: Tensor, edge_index: Tensor, proxy: Tensor | None = None) -> Tensor:
        """Logits of each node, in float32."""
        proxy = self.row.expand(len(x), -1) if proxy is None else proxy
        return self.network(torch.cat([x, proxy], dim=1), edge_index).float()


@method
class RELIANT:
    """Fair distillation of graph networks by proxies of bias (the settings of its CPF host)."""

    proxy: Literal["learnt", "sensitive", "none"] = "learnt"
    """What the additional inputs are: learnt to show bias; the attribute itself, `[s, 1 - s]`, the
    paper's baseline; or nothing, columns of 0."""
    proxy_dim: Count = 2
    """How many additional inputs the student has; 2 for the sensitive attribute."""
    distil_on: Literal["mean", "proxy"] = "mean"
    """What the host loss sees of the proxy: its mean, as in the authors' code, or each node's."""
    penalty: bool = True
    """Whether the gap is part of the student's loss; without it only the proxy works for
    fairness."""
    fairness_weight: Positive = 1000.0
    """alpha, of the gap in both losses: 1000 with CPF's norm, 10 with means over nodes."""
    notion: Literal["parity", "opportunity"] = "parity"
    """What should be equal between groups: positive decisions, or those among nodes of class 1."""
    step: Literal["legendre", "sigmoid"] = "legendre"
    """The smooth step in place of a decision: the authors' polynomial, or a sigmoid."""
    gap_on: Literal["unlabelled", "labelled", "all"] = "unlabelled"
    """Nodes whose gap is taken: all but the training nodes (CPF; their groups must be known), the
    training nodes (GraphAKD), or all."""
    host: Literal["cpf", "kd"] = "cpf"
    """The distillation loss: CPF's norm on nodes without a label; or KL divergence on all nodes
    and cross-entropy on the training nodes."""
    epochs: Count = 1000
    """Steps at most, each on the whole graph."""
    patience: Count = 500
    """Epochs without a better validation accuracy after which training ends."""
    learning_rate: Positive = 0.01
    """Of both Adams: 0.01 or 0.001 by data set in the authors' table."""
    weight_decay: NonNegative = 0.01
    """Of both Adams."""

    def fit(
        self,
        student: nn.Module,
        graph: NodeGraph,
        teacher_logits: Tensor,
        *,
        run: Run,
        host_loss: HostLoss | None = None,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains `student` in place to answer as the teacher does and to treat both groups alike.

        Args:
            student: Called as `student(x, edge_index)`, where `x` has `num_features + proxy_dim`
                columns; gives logits `(nodes, classes)`.
            graph: With labels, groups and a split. Labels of test nodes are not looked at, those
                of validation nodes only to choose the epoch.
            teacher_logits: Of all nodes `(nodes, classes)`; logarithms of probabilities do too.
            run: How to execute.
            host_loss: Another distillation loss than `host`; keeps no state of its own.
            monitor: Figures to report during the run; gets the `FairStudent`.

        Returns:
            A `FairStudent` of the epoch with the best validation accuracy, which takes plain
            features; the `gap` that is left on the nodes of `gap_on`, what the proxy could still
            make of it (`gap_by_proxy`), and the accuracy on validation nodes (%).

        Raises:
            InputError: For logits or a student of other shapes, and where a group is empty among
                the nodes that count.
        """
        self._check(student, graph, teacher_logits)
        graph, teacher_logits = graph.to(run.device), teacher_logits.to(run.device).float()
        x, edges = graph.features, graph.edges
        gap = self.gap(graph, teacher_logits)
        host = host_loss or self.host_loss(graph, teacher_logits)
        proxy = self.initial_proxy(graph, run)
        model = FairStudent(student, self.proxy_dim).to(run.device).train()
        model.row.copy_(proxy.detach().mean(0))
        optimizer, proxy_optimizer = (
            torch.optim.Adam(learnt, lr=self.learning_rate, weight_decay=self.weight_decay)
            for learnt in ([*student.parameters()], [proxy])
        )
        best = BestWeights(model, latest=True)

        state = {"model": model, "proxy": proxy, "best": best}
        state |= {"optimizer": optimizer, "proxy_optimizer": proxy_optimizer}
        for _ in run.steps(self.epochs, name="distillation", state=state):
            logits = model(x, edges)
            shown = logits if self.distil_on == "mean" else model(x, edges, proxy.detach())
            distillation, bias = host(shown), gap(torch.softmax(logits, dim=1))
            loss = distillation + self.fairness_weight * bias if self.penalty else distillation
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

            if self.proxy == "learnt":
                proxy_bias = gap(torch.softmax(model(x, edges, proxy), dim=1))
                proxy_optimizer.zero_grad(set_to_none=True)
                (-self.fairness_weight * proxy_bias).backward(inputs=[proxy])
                proxy_optimizer.step()
                model.row.copy_(proxy.detach().mean(0))
                run.log(proxy_bias=proxy_bias)
            run.log(distillation=distillation, bias=bias)

            best.offer(_validation_accuracy(model, graph))
            if run.due(times=40):
                _observe(model, run, monitor)
            if best.waited >= self.patience:
                run.end_phase()

        best.restore()
        with frozen(model), torch.no_grad():
            figures = {
                "gap": gap(torch.softmax(model(x, edges), dim=1)).item(),
                "gap_by_proxy": gap(torch.softmax(model(x, edges, proxy), dim=1)).item(),
            }
        figures |= {"validation_accuracy": 100 * _validation_accuracy(model, graph)}
        return run.result(model, _observe(model, run, monitor) | figures)

    def initial_proxy(self, graph: NodeGraph, run: Run) -> nn.Parameter:
        """P before the first step, `(nodes, proxy_dim)`: uniform in [0, 1] where it is learnt."""
        shape = (len(graph.labels), self.proxy_dim)
        if self.proxy == "learnt":
            values = torch.rand(shape, generator=run.stream("proxy"), device=run.device)
        elif self.proxy == "sensitive":
            values = torch.stack([graph.sensitive, 1 - graph.sensitive], dim=1).float()
        else:
            values = torch.zeros(shape, device=run.device)
        return nn.Parameter(values, requires_grad=self.proxy == "learnt")

    def gap(self, graph: NodeGraph, teacher_logits: Tensor) -> SoftGroupGap:
        """The soft gap between the groups of `graph`, on the nodes of `gap_on`."""
        where = {"unlabelled": ~graph.train, "labelled": graph.train, "all": None}[self.gap_on]
        labels = torch.where(graph.train, graph.labels, teacher_logits.argmax(1))
        return SoftGroupGap(
            graph.sensitive,
            where=where,
            labels=labels if self.notion == "opportunity" else None,
            step=self.step,
        )

    def host_loss(self, graph: NodeGraph, teacher_logits: Tensor) -> HostLoss:
        """The distillation loss of `host`."""
        train, unlabelled = (part.nonzero().flatten() for part in (graph.train, ~graph.train))
        targets, labels = torch.softmax(teacher_logits, dim=1)[unlabelled], graph.labels[train]

        def cpf(logits: Tensor) -> Tensor:
            return probability_distance(logits[unlabelled], targets)

        def kd(logits: Tensor) -> Tensor:
            taught = kl_divergence(logits, teacher_logits).mean()
            return taught + F.cross_entropy(logits[train], labels)

        return cpf if self.host == "cpf" else kd

    def _check(self, student: nn.Module, graph: NodeGraph, teacher_logits: Tensor) -> None:
        nodes, columns = len(graph.labels), graph.num_features + self.proxy_dim
        if teacher_logits.ndim != 2 or len(teacher_logits) != nodes:
            raise InputError(
                f"The teacher's logits are {tuple(teacher_logits.shape)}; expected one row for "
                f"each of the {nodes} nodes."
            )
        if not teacher_logits.isfinite().all():
            raise InputError(
                "The teacher's logits hold NaN or infinite values: check its weights, and give "
                "logits rather than the logarithm of probabilities that are 0."
            )
        if teacher_logits.shape[1] < graph.num_classes:
            raise InputError(
                f"The teacher knows {teacher_logits.shape[1]} classes and the labels go to "
                f"{graph.num_classes - 1}: check which graph it was trained on."
            )
        if self.proxy == "sensitive" and self.proxy_dim != 2:
            raise InputError(
                f"proxy is 'sensitive' and proxy_dim {self.proxy_dim}: [s, 1 - s] has 2 columns."
            )
        device = next(student.parameters()).device
        probe = torch.zeros(nodes, columns, device=device)
        with frozen(student), torch.no_grad():
            try:
                output = student(probe, graph.edges.to(device))
            except InputError:
                raise
            except Exception as error:
                raise InputError(
                    f"The student cannot take {nodes} nodes with {columns} values, which are the "
                    f"{graph.num_features} features and {self.proxy_dim} of the proxy "
                    f"({type(error).__name__}: {error}). It is called as student(x, edge_index)."
                ) from error
        if output.shape != teacher_logits.shape:
            raise InputError(
                f"The student gives {tuple(output.shape)}, the teacher "
                f"{tuple(teacher_logits.shape)}: both must give logits of the same classes."
            )


@torch.no_grad()
def _validation_accuracy(model: nn.Module, graph: NodeGraph) -> float:
    """In [0, 1], with the proxy's mean and without dropout."""
    model.eval()
    logits = model(graph.features, graph.edges)
    model.train()
    return accuracy(logits[graph.validation], graph.labels[graph.validation]).item()


def _observe(model: nn.Module, run: Run, monitor: Monitor | None) -> dict[str, float]:
    """Records the monitor's figures, in the section `evaluation`."""
    if monitor is None:
        return {}
    with run.section("evaluation"):
        figures = monitor(model)
    run.record(**figures)
    return figures
