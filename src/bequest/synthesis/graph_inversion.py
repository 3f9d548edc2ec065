"""Graphs from a classifier: features by back-propagation, structure by an estimated gradient.

Deng and Zhang, "Graph-Free Knowledge Distillation for Graph Neural Networks", IJCAI 2021. All
graphs are learnt at once, as one disjoint union: a logit for each ordered pair of different nodes
within a graph says whether there is an edge, a row of numbers for each node what its features are.
Each look at them is one forward pass of the teacher.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.inversion import assignment_entropy
from bequest.ops.bernoulli_gradient import arm_gradient
from bequest.ops.graphs import Graphs, degree_features, ordered_pairs
from bequest.run import Run
from bequest.synthesis.statistics import BatchNormStatistics

FeatureType = Literal["onehot", "degree", "continuous"]


@dataclass(frozen=True, kw_only=True)
class GraphInversionSettings:
    """What decides an inversion; a method that uses one has fields of these names."""

    feature_type: FeatureType
    learn_structure: bool
    learn_features: bool
    bn_weight: float
    entropy_weight: float
    lr_structure: float
    lr_features: float
    decay_every: int
    decay: float

    @classmethod
    def of(cls, method: Any) -> GraphInversionSettings:
        """The settings out of a method."""
        return cls(**{field.name: getattr(method, field.name) for field in fields(cls)})


class GraphInverter:
    """Fake graphs that a teacher takes for members of drawn classes.

    Args:
        teacher: Frozen, on the run's device; takes `(features, edges, graph of each node)`.
        sizes: Nodes of each graph, `(graphs,)`, at least 1.
        targets: The class that each should have, `(graphs,)`.
        num_features: Values a node.
        settings: Losses, steps and what is learnt.
        run: Its stream `graphs` gives every random number; its precision is used.

    Raises:
        InputError: For an unknown feature type, or a teacher without BatchNorm statistics where
            they have a weight.
    """

    def __init__(
        self,
        teacher: nn.Module,
        *,
        sizes: Tensor,
        targets: Tensor,
        num_features: int,
        settings: GraphInversionSettings,
        run: Run,
    ) -> None:
        if settings.feature_type not in ("onehot", "degree", "continuous"):
            raise InputError(
                f"There is no feature type '{settings.feature_type}': give onehot, degree or "
                "continuous."
            )
        self.teacher, self.targets, self.settings, self.run = teacher, targets, settings, run
        self.statistics = BatchNormStatistics(teacher) if settings.bn_weight else None
        self.rng = run.stream("graphs")
        self.owner = torch.repeat_interleave(sizes)
        self.pairs, self.graph_of_pair = ordered_pairs(sizes)
        self.learns_features = settings.learn_features and settings.feature_type != "degree"
        nodes, device = len(self.owner), run.device
        share = torch.rand(self.pairs.shape[1], generator=self.rng, device=device)
        self.structure = torch.logit(share, eps=1e-7)
        self.features = torch.randn(nodes, num_features, generator=self.rng, device=device)
        self.features.requires_grad_(self.learns_features)
        self._adam_structure = torch.optim.Adam([self.structure], lr=settings.lr_structure)
        self._adam_features = torch.optim.Adam([self.features], lr=settings.lr_features)
        self.steps_done = torch.zeros((), dtype=torch.int64)
        # What the smallest loss so far was reached with, and its terms.
        self.best = {
            "structure": self.structure.clone(),
            "features": self.features.detach().clone(),
            "objective": torch.full((), torch.inf, device=device),
            "cross_entropy": torch.full((), torch.inf, device=device),
        }

    def step(self) -> None:
        """One step on the features and one on the structure; or a look, where none is learnt."""
        s = self.settings
        decayed = s.decay ** (int(self.steps_done) // s.decay_every)
        for optimizer, rate in (
            (self._adam_features, s.lr_features),
            (self._adam_structure, s.lr_structure),
        ):
            optimizer.param_groups[0]["lr"] = rate * decayed

        edges = self.edges(self.structure >= 0)  # sigmoid(logit) >= 1/2
        with torch.set_grad_enabled(self.learns_features):
            each, shared = self.losses(edges, self.node_features(edges))
            loss = each.mean() + shared
            if s.feature_type == "onehot" and s.entropy_weight:
                entropy = assignment_entropy(self.features).mean()
                loss = loss + s.entropy_weight * entropy
        self._remember(loss.detach(), each.detach().mean())
        self.run.log(objective=loss, cross_entropy=each.mean())

        if self.learns_features:
            self._adam_features.zero_grad(set_to_none=True)
            loss.backward()
            self._adam_features.step()
        if s.learn_structure:
            uniform = torch.rand(self.structure.shape, generator=self.rng, device=self.owner.device)
            self.structure.grad = arm_gradient(
                self._loss_of_bits, self.structure, uniform, group=self.graph_of_pair
            )
            self._adam_structure.step()
        self.steps_done += 1

    def edges(self, bits: Tensor) -> Tensor:
        """The edges `(2, edges)` for which the bit of their pair is set."""
        return self.pairs[:, bits]

    def node_features(self, edges: Tensor) -> Tensor:
        """What the teacher sees at the nodes: by the strategy for this type of features."""
        match self.settings.feature_type:
            case "onehot":  # relaxed, so that gradients reach it
                return torch.softmax(self.features, dim=1)
            case "degree":  # follows from the structure
                return degree_features(
                    edges, num_nodes=len(self.owner), num_features=self.features.shape[1]
                )
            case _:
                return self.features

    def losses(self, edges: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of each graph the cross-entropy `(graphs,)`; of all together the weighted statistics.

        The statistics are of all nodes of all graphs, at the input of every BatchNorm layer.
        """
        if self.statistics is None:
            logits = self._ask(features, edges)
            shared = torch.zeros((), device=logits.device)
        else:
            with self.statistics:
                logits = self._ask(features, edges)
                shared = self.settings.bn_weight * self.statistics.loss()
        return F.cross_entropy(logits, self.targets, reduction="none"), shared

    def graphs(self, *, discrete: bool = True) -> Graphs:
        """The graphs of the smallest loss.

        Args:
            discrete: Whether one-hot features are made so, by each node's largest value; otherwise
                they stay as the teacher saw them.
        """
        edges = self.edges(self.best["structure"] >= 0)
        features = self.best["features"]
        if self.settings.feature_type == "degree":
            features = self.node_features(edges)
        elif self.settings.feature_type == "onehot":
            relaxed = torch.softmax(features, dim=1)
            hard = F.one_hot(features.argmax(1), features.shape[1]).to(features.dtype)
            features = hard if discrete else relaxed
        return Graphs(features=features, edges=edges, owner=self.owner)

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, for a checkpoint."""
        return {
            "structure": self.structure,
            "features": self.features.detach(),
            "steps_done": self.steps_done,
            "best": self.best,
            "adam_structure": self._adam_structure.state_dict(),
            "adam_features": self._adam_features.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        with torch.no_grad():
            self.structure.copy_(state["structure"])
            self.features.copy_(state["features"])
            self.steps_done.copy_(state["steps_done"])
            for name, value in state["best"].items():
                self.best[name].copy_(value)
        self._adam_structure.load_state_dict(state["adam_structure"])
        self._adam_features.load_state_dict(state["adam_features"])

    def _ask(self, features: Tensor, edges: Tensor) -> Tensor:
        with self.run.autocast():
            logits: Tensor = self.teacher(features, edges, self.owner)
        return logits.float()

    @torch.no_grad()
    def _loss_of_bits(self, bits: Tensor) -> Tensor:
        """Of each graph the loss under sampled edges; the statistics are in every graph's."""
        edges = self.edges(bits)
        each, shared = self.losses(edges, self.node_features(edges))
        return each + shared

    @torch.no_grad()
    def _remember(self, objective: Tensor, cross_entropy: Tensor) -> None:
        now = {
            "structure": self.structure,
            "features": self.features,
            "objective": objective,
            "cross_entropy": cross_entropy,
        }
        better = objective < self.best["objective"]
        for name, value in now.items():
            torch.where(better, value, self.best[name], out=self.best[name])
