"""Node networks against dense matrices, label propagation against a loop over edges."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.label_propagation import LabelPropagation
from bequest.nn.node_networks import build_node_network, predict_nodes

NODES = 7
# A ring with a chord, and one edge that has no way back.
RING = torch.stack([torch.arange(NODES), (torch.arange(NODES) + 1) % NODES])
EDGES = torch.cat([RING, RING.flip(0), torch.tensor([[0], [3]])], dim=1)


@pytest.fixture
def x():
    return torch.randn(NODES, 4, generator=torch.Generator().manual_seed(0))


def adjacency():
    """Row v has the edges into v."""
    dense = torch.zeros(NODES, NODES)
    dense[EDGES[1], EDGES[0]] = 1
    return dense


def network(name):
    pytest.importorskip("torch_geometric", reason="needs the extra graphs")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build_node_network(name, num_features=4, num_classes=2).eval()


def gcn_matrix():
    dense = adjacency() + torch.eye(NODES)
    root = dense.sum(1).rsqrt()
    return root[:, None] * dense * root


def test_gcn_is_the_normalised_product(x):
    gcn = network("gcn-2-5")
    first, second = gcn.layers
    hidden = F.relu(gcn_matrix() @ x @ first.lin.weight.T + first.bias)
    expected = gcn_matrix() @ hidden @ second.lin.weight.T + second.bias
    assert torch.allclose(gcn(x, EDGES), expected, atol=1e-6)


def test_sage_takes_the_mean_of_the_neighbours(x):
    sage = network("sage-1-5")
    (layer,) = sage.layers
    mean = adjacency() @ x / adjacency().sum(1, keepdim=True)
    expected = layer.lin_l(mean) + layer.lin_r(x)
    assert torch.allclose(sage(x, EDGES), expected, atol=1e-6)


def test_appnp_spreads_what_its_mlp_says(x):
    appnp = network("appnp-2-5")
    start = appnp.layers[1](F.relu(appnp.layers[0](x)))
    expected = start
    for _ in range(10):
        expected = 0.9 * gcn_matrix() @ expected + 0.1 * start
    assert torch.allclose(appnp(x, EDGES), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["gcn-2-5", "sage-2-5", "appnp-2-5"])
def test_another_graph_is_noticed_and_no_neighbours_are_allowed(name, x):
    model = network(name)
    first = model(x, EDGES)
    alone = model(x, EDGES[:, :0])
    assert alone.isfinite().all()
    assert not torch.allclose(first, alone)
    assert torch.equal(model(x, EDGES.clone()), first)
    assert torch.equal(copy.deepcopy(model)(x, EDGES), first)
    # Dropout in training only.
    model.train()
    assert not torch.equal(model(x, EDGES), model(x, EDGES))
    assert torch.equal(predict_nodes(model, x, EDGES), first)
    assert model.training


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="no node network 'gat-2-8'"):
        build_node_network("gat-2-8", num_features=4, num_classes=2)


def propagation(**options):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return LabelPropagation(
            num_features=4,
            labels=torch.tensor([0, 1, 0, 1, 0, 1, 0]),
            known=torch.tensor([True, True, False, False, False, False, False]),
            num_classes=2,
            width=5,
            **options,
        )


def test_label_propagation_edge_by_edge(x):
    model = propagation(layers=3).eval()
    with torch.no_grad():
        model.alpha.copy_(torch.linspace(-1, 1, NODES)[:, None])
    logit = (x * model.attention).sum(1)
    shares = torch.full((NODES, 2), 0.5)
    known = {0: torch.tensor([1.0, 0.0]), 1: torch.tensor([0.0, 1.0])}
    for node, label in known.items():
        shares[node] = label
    edges = [*EDGES.T.tolist(), *([v, v] for v in range(NODES))]
    for _ in range(2):
        after = torch.empty_like(shares)
        for v in range(NODES):
            sources = [u for u, target in edges if target == v]
            attention = logit[sources].softmax(0)  # of the source alone
            arrived = sum(a * shares[u] for a, u in zip(attention, sources))
            own = model.out(F.relu(model.hidden(x[v])))
            gate = model.alpha[v]
            after[v] = F.relu(gate.sigmoid() * arrived + (-gate).sigmoid() * own)
        for node, label in known.items():
            after[node] = label
        shares = after
    assert torch.allclose(model(x, EDGES), shares, atol=1e-6)


def test_known_labels_stay_and_all_parameters_learn(x):
    model = propagation(layers=4, feature_dropout=0.0, attention_dropout=0.0).train()
    result = model(x, EDGES)
    assert result[:2].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    result.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    assert torch.allclose(model.eval()(x, EDGES), result)


def test_label_propagation_needs_labels_and_layers():
    with pytest.raises(InputError, match="with 1 layers"):
        propagation(layers=1)
    with pytest.raises(InputError, match="0 known labels"):
        LabelPropagation(
            num_features=4,
            labels=torch.zeros(3, dtype=torch.int64),
            known=torch.zeros(3, dtype=torch.bool),
            num_classes=2,
        )
