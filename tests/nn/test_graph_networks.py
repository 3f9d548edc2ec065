"""GCN and GIN against dense algebra written apart, and what they refuse."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.graph_networks import build_graph_network, check_graph_network

pytest.importorskip("torch_geometric", reason="needs the extra graphs")

# Directed on purpose: 0 -> 1, 0 -> 2, 2 -> 1; and a graph of two nodes, 3 -> 4.
EDGES = torch.tensor([[0, 0, 2, 3], [1, 2, 1, 4]])
OWNER = torch.tensor([0, 0, 0, 1, 1])


def network(name="gcn-4-6", *, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = build_graph_network(name, num_features=3, num_classes=2)
        for layer in built.modules():
            if isinstance(layer, nn.BatchNorm1d):
                layer.running_mean.normal_(0, 0.3)
                layer.running_var.uniform_(0.5, 2)
            if isinstance(layer, nn.Linear) and layer.bias is not None:
                layer.bias.data.normal_()
    return built.eval()


def features():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1))


def normalized(x, layer):
    scaled = (x - layer.running_mean) / (layer.running_var + layer.eps).sqrt()
    return scaled * layer.weight + layer.bias


def dense_forward(net, x):
    """From the equations: A[j, k] = 1 is an edge j -> k, and node k sums over its in-edges."""
    adjacency = torch.zeros(5, 5)
    adjacency[EDGES[0], EDGES[1]] = 1
    looped = adjacency + torch.eye(5)
    root = looped.sum(0).rsqrt()  # the in-degree, at both ends
    for number, (convolution, norm) in enumerate(zip(net.convolutions, net.norms)):
        if net.kind == "gcn":
            y = (root[:, None] * looped * root).T @ (x @ convolution.lin.weight.T)
            y = y + convolution.bias
        else:
            first, last = convolution.nn.lins
            y = F.linear(x + adjacency.T @ x, first.weight, first.bias)
            y = F.relu(normalized(y, convolution.nn.norms[0].module))
            y = F.linear(y, last.weight, last.bias)
        step = F.relu(normalized(y, norm))
        x = step + x if number else step
    pooled = torch.stack([x[:3].sum(0), x[3:].sum(0)])
    return net.head(pooled)


@pytest.mark.parametrize("name", ["gcn-4-6", "gin-4-6"])
def test_logits_are_those_of_dense_algebra(name):
    net = network(name)
    with torch.no_grad():
        found = net(features(), EDGES, OWNER)
        torch.testing.assert_close(found, dense_forward(net, features()), atol=1e-5, rtol=1e-5)
        other = net(features(), EDGES.flip(0), OWNER)
    assert not torch.allclose(found, other, atol=1e-3)  # direction counts


@pytest.mark.parametrize("name", ["gcn-3-4", "gin-3-4"])
def test_a_graph_is_judged_alone_and_whatever_its_order(name):
    net, x = network(name), features()
    with torch.no_grad():
        both = net(x, EDGES, OWNER)
        alone = net(x[3:], torch.tensor([[0], [1]]), torch.zeros(2, dtype=torch.int64))
        order = torch.tensor([2, 0, 1, 3, 4])
        place = order.argsort()
        shuffled = net(x[order], place[EDGES][:, [3, 1, 0, 2]], OWNER)
    torch.testing.assert_close(alone, both[1:])
    torch.testing.assert_close(shuffled, both)


@pytest.mark.parametrize("name", ["gcn-3-4", "gin-3-4"])
def test_gradients_reach_the_features(name):
    net, x = network(name).double(), features().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: net(x, EDGES, OWNER), x, nondet_tol=1e-12)


def test_dropout_is_on_the_logits_in_training_alone():
    net = network().train()
    net(features(), EDGES, OWNER)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = torch.stack([net(features(), EDGES, OWNER) for _ in range(50)])
    assert 0.3 < (drawn == 0).float().mean() < 0.7
    assert (net.eval()(features(), EDGES, OWNER) != 0).all()


@pytest.mark.parametrize("name", ["gcn", "gat-3-32", "gcn-1-32", "gcn-3-0", "GCN-3-32"])
def test_unknown_networks_are_refused(name):
    with pytest.raises(InputError, match=rf"no graph network '{name}'.*gcn-5-64"):
        build_graph_network(name, num_features=3, num_classes=2)


def test_a_network_for_other_graphs_is_refused():
    net = network().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    check_graph_network(net, num_features=3, num_classes=2, name="teacher")
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    with pytest.raises(InputError, match="teacher cannot take two graphs with 4 features"):
        check_graph_network(net, num_features=4, num_classes=2, name="teacher")
    with pytest.raises(InputError, match=r"gives \(2, 2\), not logits of shape \(2, 5\)"):
        check_graph_network(net, num_features=3, num_classes=5, name="teacher")
    net.head.weight.data[0, 0] = torch.nan
    with pytest.raises(InputError, match=r"NaN or infinite values.*head\.weight"):
        check_graph_network(net, num_features=3, num_classes=2, name="teacher")


def test_without_the_library_the_extra_is_named(tmp_path):
    (tmp_path / "torch_geometric.py").write_text("raise ImportError('broken')\n", encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from bequest import catalog\n"
        "from bequest.errors import InputError\n"
        "from bequest.nn.graph_networks import build_graph_network\n"
        "catalog.find('gfkd').load_method(), catalog.find('gfkd').load_study()\n"
        "assert 'torch_geometric' not in sys.modules\n"
        "try:\n"
        "    build_graph_network('gcn-3-4', num_features=3, num_classes=2)\n"
        "except InputError as error:\n"
        "    sys.exit(0 if 'bequest[graphs]' in str(error) else 1)\n"
        "sys.exit(2)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
