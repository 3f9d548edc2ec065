"""Label propagation with learnt attention: the student of CPF.

Yang, Liu, Shi, "Extract the Knowledge of Graph Neural Networks and Go Beyond it: An Effective
Knowledge Distillation Framework", WWW 2021 (PLP, the inductive kind).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.ops.segments import segment_softmax, segment_sum


class LabelPropagation(nn.Module):
    """Known labels spread along edges; each node mixes what arrives with what its features say.

    One layer is applied `layers - 1` times, with a self-loop at each node:

        a_uv = softmax over the edges into v of <w, x_u>     (of the source alone)
        h_v  = ReLU( sigmoid(alpha_v) * sum_u a_uv h_u + sigmoid(-alpha_v) * MLP(x_v) )

    and after each, nodes with a known label are set back to it. It begins with these labels and
    with equal shares for the other nodes. The result stands in for logits: a known label is
    (1, 0), a probability of 0.73.

    Args:
        num_features: Values a node.
        labels: Of all nodes `(nodes,)`; only those of `known` are looked at.
        known: `(nodes,)`, bool.
        num_classes: Classes.
        layers: K of the paper, 2 or more.
        width: Of the hidden layer of the MLP.
        feature_dropout: On the features of the attention, and before both layers of the MLP.
        attention_dropout: On the attention.

    Shapes:
        x: `(nodes, num_features)`; edge_index: `(2, edges)`; the result: `(nodes, num_classes)`.

    Raises:
        InputError: Without a known label, or with fewer than 2 layers.
    """

    labels: Tensor
    known: Tensor

    def __init__(
        self,
        *,
        num_features: int,
        labels: Tensor,
        known: Tensor,
        num_classes: int,
        layers: int = 10,
        width: int = 64,
        feature_dropout: float = 0.8,
        attention_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if layers < 2 or not known.any():
            raise InputError(
                f"Label propagation with {layers} layers and {int(known.sum())} known labels: it "
                "needs 2 or more layers and at least one known label."
            )
        self.layers = layers
        self.feature_dropout = feature_dropout
        self.attention_dropout = attention_dropout
        shares = torch.full((len(labels), num_classes), 1 / num_classes)
        shares[known] = F.one_hot(labels[known], num_classes).float()
        self.register_buffer("labels", shares)
        self.register_buffer("known", known[:, None].clone())
        self.attention = nn.Parameter(torch.empty(1, num_features))
        nn.init.xavier_normal_(self.attention, gain=nn.init.calculate_gain("relu"))
        self.alpha = nn.Parameter(torch.zeros(len(labels), 1))
        self.hidden = nn.Linear(num_features, width)
        self.out = nn.Linear(width, num_classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """What has arrived after all layers."""
        nodes = torch.arange(len(x), device=x.device)
        source, target = torch.cat([edge_index, nodes.expand(2, -1)], dim=1)
        shares = self.labels
        with torch.autocast(x.device.type, enabled=False):
            for layer in range(self.layers - 1):
                if self.training or not layer:  # without dropout every layer is the same
                    attention = self._attention(x, source, target)[:, None]
                    own = torch.sigmoid(-self.alpha) * self._features(x)
                arrived = segment_sum(attention * shares[source], target, count=len(x))
                mixed = F.relu(torch.sigmoid(self.alpha) * arrived + own)
                shares = torch.where(self.known, self.labels, mixed)
        return shares

    def _attention(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        logits = (F.dropout(x, self.feature_dropout, self.training) * self.attention).sum(1)
        attention = segment_softmax(logits[source], target, count=len(x))
        return F.dropout(attention, self.attention_dropout, self.training)

    def _features(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.hidden(F.dropout(x, self.feature_dropout, self.training)))
        return self.out(F.dropout(hidden, self.feature_dropout, self.training))
