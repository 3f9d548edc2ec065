"""Graph classifiers on PyTorch Geometric's layers: GCN and GIN with BatchNorm and residuals.

The networks of Deng and Zhang (IJCAI 2021). A name such as `gcn-5-64` says kind, layers and width:
four convolutions of 64 channels, each with BatchNorm over the nodes, ReLU and, from the second on,
a residual; then the sum over the nodes of a graph, a linear layer, and dropout on its output.

- GCN (Kipf and Welling, ICLR 2017): `D^-1/2 A D^-1/2 X W`, with a self-loop at each node. On
  directed graphs `D` is the in-degree at both ends, as in the authors' version of DGL.
- GIN (Xu et al., ICLR 2019): an MLP of two layers on a node plus the sum of its neighbours, with
  eps 0.

PyTorch Geometric is the extra `graphs`; it is loaded when a network is built. A forward pass turns
the edges into one sparse matrix and multiplies with it in every layer: one operation for all graphs
of a batch, and several times faster than gathering messages edge by edge.
"""

from __future__ import annotations

import re
import warnings
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.extras import load_extra
from bequest.nn.modes import frozen
from bequest.nn.weights import require_finite

_NAME = re.compile(r"(gcn|gin)-([1-9]\d*)-([1-9]\d*)")


class GraphClassifier(nn.Module):
    """GCN or GIN with a linear head.

    Never in half precision: graphs this small gain nothing from it, and sparse products lack it.

    Args:
        kind: Which convolution.
        layers: Convolutions and head together, 2 or more.
        width: Channels.
        num_features: Values a node.
        num_classes: Logits.
        dropout: On the logits, in training.

    Shapes:
        x: `(nodes, num_features)`; edge_index: `(2, edges)`; batch: `(nodes,)`, the graph of each
        node; the logits: `(graphs, num_classes)`.

    Raises:
        InputError: Without PyTorch Geometric.
    """

    def __init__(
        self,
        *,
        kind: Literal["gcn", "gin"],
        layers: int,
        width: int,
        num_features: int,
        num_classes: int,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        geometric = _geometric("torch_geometric.nn")
        widths = [num_features] + [width] * (layers - 1)
        self.kind = kind
        self.dropout = dropout
        self.convolutions = nn.ModuleList(
            geometric.GCNConv(before, after, normalize=False)
            if kind == "gcn"
            else geometric.GINConv(geometric.MLP([before, after, after]))
            for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in widths[1:])
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """The logits of each graph."""
        geometric = _geometric("torch_geometric.nn")
        with torch.autocast(x.device.type, enabled=False):
            adjacency = self._adjacency(edge_index, len(x), x.dtype)
            for number, (convolve, norm) in enumerate(zip(self.convolutions, self.norms)):
                step = F.relu(norm(convolve(x, adjacency)))
                x = step + x if number else step
            logits = self.head(geometric.global_add_pool(x, batch))
            return F.dropout(logits, self.dropout, self.training)

    def _adjacency(self, edges: Tensor, nodes: int, dtype: torch.dtype) -> Tensor:
        """Transposed, as PyTorch Geometric takes it: row k holds the edges that end in node k."""
        weight = torch.ones(edges.shape[1], dtype=dtype, device=edges.device)
        if self.kind == "gcn":
            normalize = _geometric("torch_geometric.nn.conv.gcn_conv").gcn_norm
            edges, weight = normalize(edges, weight, nodes, add_self_loops=True)
        transpose = _geometric("torch_geometric.utils").to_torch_csr_tensor
        with warnings.catch_warnings():
            # Torch says once a process that sparse matrices are in beta and are not checked.
            warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
            adjacency: Tensor = transpose(edges.flip(0), weight, size=(nodes, nodes))
        return adjacency


def build_graph_network(name: str, *, num_features: int, num_classes: int) -> GraphClassifier:
    """An untrained graph classifier, with weights drawn from torch's global generator.

    Args:
        name: Kind, layers and width: `gcn-5-64`, `gin-3-32`, ...
        num_features: Values a node, 1 or more.
        num_classes: Logits, 2 or more.

    Raises:
        InputError: For another name, or without PyTorch Geometric.
    """
    found = _NAME.fullmatch(name)
    if found is None or int(found[2]) < 2:
        raise InputError(
            f"There is no graph network '{name}': give gcn or gin, the number of layers (2 or "
            "more) and of channels, as in gcn-5-64."
        )
    return GraphClassifier(
        kind="gcn" if found[1] == "gcn" else "gin",
        layers=int(found[2]),
        width=int(found[3]),
        num_features=num_features,
        num_classes=num_classes,
    )


def _geometric(module: str) -> Any:
    """A module of PyTorch Geometric."""
    return load_extra(module, extra="graphs")


def check_graph_network(
    network: nn.Module, *, num_features: int, num_classes: int, name: str
) -> None:
    """Runs two tiny graphs through a network, to find out early what would go wrong late.

    Args:
        network: Takes `(features, edges, graph of each node)`; on any device; left as it is.
        num_features: Values a node.
        num_classes: How many logits it should give.
        name: What to call the network in messages, such as `teacher`.

    Raises:
        InputError: For NaN or infinite weights, a network that refuses such graphs, an output
            that is not `(2, num_classes)` or not finite.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    require_finite(tensors, source=f"The {name}")
    device = next((value.device for value in tensors.values()), torch.device("cpu"))
    features = F.one_hot(torch.arange(5, device=device) % num_features, num_features).float()
    edges = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]], device=device)
    owner = torch.tensor([0, 0, 0, 1, 1], device=device)
    with frozen(network), torch.no_grad():
        try:
            output = network(features, edges, owner)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"The {name} cannot take two graphs with {num_features} features a node "
                f"({type(error).__name__}: {error}). It is called as "
                "network(x, edge_index, batch); check the number of features."
            ) from error
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if shape != (2, num_classes):
        raise InputError(
            f"For two graphs the {name} gives {shape}, not logits of shape (2, {num_classes}): "
            "check the number of classes and that it classifies graphs, not nodes."
        )
    if not output.isfinite().all():
        raise InputError(f"The {name} gives NaN or infinite logits: check its weights.")
