"""A message-passing network that scores the pairs of assignment problems.

The network of Liu et al., "GLAN: A Graph-based Linear Assignment Network", Pattern Recognition
2024. Rows and columns are nodes, the cheapest pairs are edges in both directions; edges start from
their cost, nodes from zeros. Each layer gates the channels of a problem, then updates edges, then
nodes; a pair's score is the mean of its two edges.

    e1 = MLP([x_source, x_target, e]),      e' = MLP([e1, e])
    m  = MLP([w * x_source, e']),           w = sigmoid(Linear(.([x_target, x_source])))
    x' = MLP([x, mean of incoming m])

Problems of any sizes go through together: nothing is done problem by problem, and the work grows
with the pairs kept, not with rows times columns.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from bequest.ops.assignment import PairBatch
from bequest.ops.bipartite import Pairs
from bequest.ops.segments import segment_extreme, segment_mean

Statistics = Literal["problem", "batch"]


class Standardize(nn.Module):
    """Shifts and scales each channel to mean 0 and variance 1, without parameters or memory.

    Mean and variance carry no gradient and are those of the input, in training and in use.

    Args:
        statistics: Over each problem by itself, or over all problems of the batch, where a problem
            is scored differently in other company.

    Shapes:
        values: `(number, channels)`; segment: `(number,)`, the problem of each; the same out.
    """

    def __init__(self, statistics: Statistics) -> None:
        super().__init__()
        self.statistics = statistics

    def forward(self, values: Tensor, segment: Tensor, count: int) -> Tensor:
        """`(x - mean) / sqrt(var + 1e-5)`, the variance without bias."""
        fixed = values.detach()
        if self.statistics == "batch" or count == 1:
            centred = values - fixed.mean(0)
            # torch.var over the first dimension takes several times as long on a CPU.
            variance = centred.detach().square().sum(0) / max(1, len(fixed) - 1)
            return centred * (variance + 1e-5).rsqrt()
        mean = segment_mean(fixed, segment, count=count)
        centred = values - mean[segment]
        variance = segment_mean(centred.detach().square(), segment, count=count)
        size = torch.bincount(segment, minlength=count)[:, None]
        variance = variance * size / (size - 1).clamp_min(1)
        return centred * (variance + 1e-5).rsqrt()[segment]


class SegmentMLP(nn.Module):
    """Linear, ReLU, `Standardize`, for each of `widths` after the first."""

    def __init__(self, *widths: int, statistics: Statistics) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.norm = Standardize(statistics)

    def forward(self, values: Tensor, segment: Tensor, count: int) -> Tensor:
        """`(number, widths[0])` to `(number, widths[-1])`."""
        for linear in self.linears:
            values = self.norm(torch.relu(linear(values)), segment, count)
        return values


class ChannelGate(nn.Module):
    """A factor for each channel of a problem, from the channel's mean, maximum and minimum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(3 * width, 2 * width), nn.LeakyReLU(), nn.LayerNorm(2 * width)),
            *(nn.Linear(2 * width, width), nn.LeakyReLU(), nn.LayerNorm(width)),
        )

    def forward(self, values: Tensor, segment: Tensor, count: int) -> Tensor:
        """`(number, width)`, gated."""
        pooled = [
            segment_mean(values, segment, count=count),
            segment_extreme(values, segment, count=count, kind="amax"),
            segment_extreme(values, segment, count=count, kind="amin"),
        ]
        return values * self.layers(torch.cat(pooled, 1))[segment]


class MessageLayer(nn.Module):
    """One round of messages between rows and columns."""

    def __init__(self, edge_width: int, node_width: int, statistics: Statistics) -> None:
        super().__init__()
        e, n = edge_width, node_width
        self.edge = SegmentMLP(e + 2 * n, 2 * e, e, statistics=statistics)
        self.edge_again = SegmentMLP(2 * e, 2 * e, e, statistics=statistics)
        self.weight = SegmentMLP(2 * n, n, statistics=statistics)
        self.weight_out = nn.Linear(n, 1)
        self.message = SegmentMLP(e + n, e + n, n, statistics=statistics)
        self.node = SegmentMLP(2 * n, 2 * n, n, statistics=statistics)

    def forward(
        self, x: Tensor, edges: Tensor, ends: tuple[Tensor, Tensor], graph: Graph
    ) -> tuple[Tensor, Tensor]:
        """Nodes `(nodes, node_width)` and edges `(edges, edge_width)`, updated."""
        of_edge, of_node, count = graph
        source, target = x[ends[0]], x[ends[1]]
        first = self.edge(torch.cat([source, target, edges], 1), of_edge, count)
        edges = self.edge_again(torch.cat([first, edges], 1), of_edge, count)
        attention = self.weight(torch.cat([target, source], 1), of_edge, count)
        weight = torch.sigmoid(self.weight_out(attention))
        message = self.message(torch.cat([weight * source, edges], 1), of_edge, count)
        incoming = segment_mean(message, ends[1], count=len(x))
        return self.node(torch.cat([x, incoming], 1), of_node, count), edges


Graph = tuple[Tensor, Tensor, int]
"""The problem of each edge, that of each node, and how many problems there are."""


class PairScorer(nn.Module):
    """Scores in (0, 1) for the kept pairs of assignment problems.

    Weights are Xavier-uniform. Never in half precision: widths are 8 to 32.

    Args:
        layers: Rounds of messages.
        edge_width: Channels of edges, even.
        node_width: Channels of nodes.
        gates: Whether channels are gated before each layer; the gates are shared by all layers.
        statistics: See `Standardize`.
    """

    def __init__(
        self,
        *,
        layers: int = 5,
        edge_width: int = 16,
        node_width: int = 8,
        gates: bool = True,
        statistics: Statistics = "problem",
    ) -> None:
        super().__init__()
        half = edge_width // 2
        self.node_width = node_width
        self.encoder = SegmentMLP(1, half, edge_width, statistics=statistics)
        self.gates = nn.ModuleList([ChannelGate(edge_width), ChannelGate(node_width)][: 2 * gates])
        self.layers = nn.ModuleList(
            MessageLayer(edge_width, node_width, statistics) for _ in range(layers)
        )
        self.decoder = SegmentMLP(edge_width, half, statistics=statistics)
        self.score = nn.Linear(half, 1)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, problems: PairBatch, pairs: Pairs) -> Tensor:
        """The score of each pair, `(pairs,)`; costs carry a gradient.

        Args:
            problems: Costs `(batch, rows, columns)`.
            pairs: Of these problems.
        """
        with torch.autocast(problems.values.device.type, enabled=False):
            cost = problems.costs[pairs.kept].to(self.score.weight.dtype)
            # An edge there and an edge back, side by side, so that problems stay in order.
            ends = (
                torch.stack([pairs.row, pairs.column], 1).flatten(),
                torch.stack([pairs.column, pairs.row], 1).flatten(),
            )
            count = len(problems)
            of_edge = pairs.problem.repeat_interleave(2)
            graph = (of_edge, pairs.node_problem, count)
            x = cost.new_zeros(len(pairs.node_problem), self.node_width)
            edges = self.encoder(cost.repeat_interleave(2)[:, None], of_edge, count)
            for layer in self.layers:
                if len(self.gates):
                    edges = self.gates[0](edges, of_edge, count)
                    x = self.gates[1](x, pairs.node_problem, count)
                x, edges = layer(x, edges, ends, graph)
            scores = torch.sigmoid(self.score(self.decoder(edges, of_edge, count)))
            return scores.view(-1, 2).mean(1)
