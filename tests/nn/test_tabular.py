"""The table that tabular methods leave."""

from __future__ import annotations

import torch

from bequest.nn.tabular import QTable
from bequest.nn.weights import load_weights, save_weights

Q = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [3.0, 3.0]]])


def test_actions_values_and_rows():
    table = QTable(Q)
    assert table.greedy().tolist() == [[1, 0, 0]]
    assert table.values().tolist() == [[1.0, 2.0, 3.0]]
    assert torch.equal(table(torch.tensor([[2, 0]])), Q[:, [2, 0]])
    assert not any(p.requires_grad for p in table.parameters())


def test_a_table_survives_its_file(tmp_path):
    table = QTable(Q, dual=Q + 1, penalty=Q + 2)
    save_weights(table, tmp_path / "table.safetensors")
    other = QTable(torch.zeros_like(Q), penalty=torch.zeros_like(Q))
    load_weights(other, tmp_path / "table.safetensors")
    for name, value in table.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
