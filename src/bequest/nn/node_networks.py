"""Node classifiers on PyTorch Geometric's layers: GCN, GraphSAGE and APPNP.

A name such as `gcn-3-64` says kind, layers and width. They are called as `network(x, edge_index)`.

- GCN (Kipf and Welling, ICLR 2017): `D^-1/2 A D^-1/2 X W` with a self-loop at each node;
- SAGE (Hamilton, Ying and Leskovec, NIPS 2017): `X W + mean of the neighbours V`;
- APPNP (Klicpera, Bojchevski and Guennemann, ICLR 2019): an MLP on the features alone, then ten
  steps of personalised PageRank, of which each keeps a tenth of the MLP's answer.

PyTorch Geometric is the extra `graphs`; it is loaded when a network is built. GCN and SAGE multiply
with one sparse matrix in place of gathering messages edge by edge. The matrix is kept until another
`edge_index` comes.
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

Kind = Literal["gcn", "sage", "appnp"]
_NAME = re.compile(r"(gcn|sage|appnp)-([1-9]\d*)-([1-9]\d*)")
_PAGERANK_STEPS, _TELEPORT = 10, 0.1


class NodeClassifier(nn.Module):
    """GCN, GraphSAGE or APPNP: ReLU and dropout between the layers.

    Never in half precision: graphs this small gain nothing from it, and sparse products lack it.

    Args:
        kind: Which convolution.
        layers: How many, 1 or more; of APPNP, those of the MLP.
        width: Channels of the hidden ones.
        num_features: Values a node.
        num_classes: Logits.
        dropout: Before each layer but the first, in training.

    Shapes:
        x: `(nodes, num_features)`; edge_index: `(2, edges)`, not to be changed in place between
        calls; the logits: `(nodes, num_classes)`.

    Raises:
        InputError: Without PyTorch Geometric.
    """

    def __init__(
        self,
        *,
        kind: Kind,
        layers: int,
        width: int,
        num_features: int,
        num_classes: int,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        geometric = load_extra("torch_geometric.nn", extra="graphs")
        widths = [num_features, *[width] * (layers - 1), num_classes]
        makers = {
            "gcn": lambda before, after: geometric.GCNConv(before, after, normalize=False),
            "sage": lambda before, after: geometric.SAGEConv(before, after, aggr="sum"),
            "appnp": nn.Linear,
        }
        self.kind = kind
        self.dropout = dropout
        self.layers = nn.ModuleList(makers[kind](*sizes) for sizes in pairwise(widths))
        self.propagate = (
            geometric.APPNP(_PAGERANK_STEPS, _TELEPORT, normalize=False)
            if kind == "appnp"
            else None
        )
        self._edges: Tensor | None = None
        self._structure: tuple[Any, ...] = ()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """The logits of each node."""
        with torch.autocast(x.device.type, enabled=False):
            structure = self._structure_of(edge_index, len(x), x.dtype)
            for number, layer in enumerate(self.layers):
                if number:
                    x = F.dropout(F.relu(x), self.dropout, self.training)
                x = layer(x) if self.propagate is not None else layer(x, *structure)
            return x if self.propagate is None else self.propagate(x, *structure)

    def __getstate__(self) -> dict[str, Any]:
        """For copies: without the matrix that is kept, since sparse ones cannot be copied so."""
        return {**self.__dict__, "_edges": None, "_structure": ()}

    def _structure_of(self, edges: Tensor, nodes: int, dtype: torch.dtype) -> tuple[Any, ...]:
        """What the convolutions take beside the features."""
        if self._edges is not edges:
            self._edges, self._structure = edges, self._build(edges, nodes, dtype)
        return self._structure

    def _build(self, edges: Tensor, nodes: int, dtype: torch.dtype) -> tuple[Any, ...]:
        weight = torch.ones(edges.shape[1], dtype=dtype, device=edges.device)
        if self.kind == "sage":
            weight /= torch.bincount(edges[1], minlength=nodes).clamp_min(1)[edges[1]]
        else:
            module = load_extra("torch_geometric.nn.conv.gcn_conv", extra="graphs")
            edges, weight = module.gcn_norm(edges, weight, nodes, add_self_loops=True)
        if self.kind == "appnp":
            return edges, weight  # ten narrow products: gathering is the faster way there
        to_matrix = load_extra("torch_geometric.utils", extra="graphs").to_torch_csr_tensor
        with warnings.catch_warnings():
            # Torch says once a process that sparse matrices are in beta and are not checked.
            warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
            return (to_matrix(edges.flip(0), weight, size=(nodes, nodes)),)


def build_node_network(
    name: str, *, num_features: int, num_classes: int, dropout: float = 0.5
) -> NodeClassifier:
    """An untrained node classifier, with weights drawn from torch's global generator.

    Args:
        name: Kind, layers and width: `gcn-3-64`, `sage-2-16`, `appnp-2-64`, ...
        num_features: Values a node, 1 or more.
        num_classes: Logits, 2 or more.
        dropout: Before each layer but the first.

    Raises:
        InputError: For another name, or without PyTorch Geometric.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise InputError(
            f"There is no node network '{name}': give gcn, sage or appnp, the number of layers and "
            "of channels, as in gcn-3-64."
        )
    kinds: dict[str, Kind] = {"gcn": "gcn", "sage": "sage", "appnp": "appnp"}
    return NodeClassifier(
        kind=kinds[found[1]],
        layers=int(found[2]),
        width=int(found[3]),
        num_features=num_features,
        num_classes=num_classes,
        dropout=dropout,
    )


@torch.no_grad()
def predict_nodes(network: nn.Module, features: Tensor, edges: Tensor) -> Tensor:
    """Logits `(nodes, classes)` in eval mode, in float32; the network is left as it is."""
    with frozen(network):
        return network(features, edges).float()
