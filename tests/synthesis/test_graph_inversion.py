"""The inversion of graphs: each strategy, each loss, each step against a restatement."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.inversion import assignment_entropy
from bequest.nn.modes import frozen
from bequest.run import Run
from bequest.synthesis.graph_inversion import GraphInversionSettings, GraphInverter

SIZES, TARGETS = torch.tensor([4, 3, 5]), torch.tensor([0, 1, 1])
SETTINGS = {
    "feature_type": "onehot",
    "learn_structure": True,
    "learn_features": True,
    "bn_weight": 0.1,
    "entropy_weight": 0.01,
    "lr_structure": 1.0,
    "lr_features": 0.01,
    "decay_every": 700,
    "decay": 0.1,
}


class Summing(nn.Module):
    """A graph classifier without any library: one layer of sums over in-edges."""

    def __init__(self, norm=True):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.linear, self.head = nn.Linear(3, 6), nn.Linear(6, 2)
            self.norm = nn.BatchNorm1d(6) if norm else nn.Identity()
            if norm:
                self.norm.running_mean.normal_()
                self.norm.running_var.uniform_(0.5, 2)
        self.calls = 0

    def forward(self, x, edge_index, batch):
        self.calls += 1
        x = x.index_add(0, edge_index[1], x[edge_index[0]])
        x = F.relu(self.norm(self.linear(x)))
        return self.head(x.new_zeros(int(batch[-1]) + 1, 6).index_add(0, batch, x))


def inverter(teacher=None, *, seed=0, **changes):
    run = Run(seed=seed, device="cpu", precision="fp32")
    return GraphInverter(
        teacher or Summing().eval().requires_grad_(False),
        sizes=SIZES,
        targets=TARGETS,
        num_features=3,
        settings=GraphInversionSettings(**SETTINGS | changes),
        run=run,
    )


def test_a_step_asks_the_teacher_three_times_for_all_graphs_at_once():
    made = inverter()
    made.step()
    assert made.teacher.calls == 3
    fixed = inverter(learn_structure=False)
    fixed.step()
    assert fixed.teacher.calls == 1


def test_the_statistics_are_of_all_nodes_at_the_input_of_the_norm():
    made = inverter()
    edges = made.edges(made.structure >= 0)
    x = made.node_features(edges)
    each, shared = made.losses(edges, x)
    summed = x.index_add(0, edges[1], x[edges[0]])
    seen = made.teacher.linear(summed)
    var, mean = torch.var_mean(seen, 0, correction=0)
    norm = made.teacher.norm
    wanted = (mean - norm.running_mean).norm() + (var - norm.running_var).norm()
    torch.testing.assert_close(shared, 0.1 * wanted)
    wanted = F.cross_entropy(made.teacher(x, edges, made.owner), TARGETS, reduction="none")
    torch.testing.assert_close(each, wanted)


def test_the_structure_step_is_the_arm_estimator_written_as_a_loop():
    made, again = inverter(learn_features=False), inverter(learn_features=False)
    start = made.structure.clone()
    made.step()
    uniform = torch.rand(len(start), generator=again.rng)
    x = torch.softmax(again.features, 1)
    values = []
    for bits in (uniform > torch.sigmoid(-start), uniform < torch.sigmoid(start)):
        each, shared = again.losses(again.pairs[:, bits], x)
        values.append(each + shared)
    wanted = torch.stack(
        [
            (values[0] - values[1])[graph] * (u - 0.5)
            for u, graph in zip(uniform, made.graph_of_pair)
        ]
    )
    torch.testing.assert_close(made.structure.grad, wanted)
    moved = (made.structure - start).abs()
    torch.testing.assert_close(moved[wanted != 0], torch.ones_like(moved[wanted != 0]), atol=1e-2,
                               rtol=0)  # fmt: skip


def test_the_feature_step_follows_the_whole_loss():
    made, again = inverter(learn_structure=False), inverter(learn_structure=False)
    made.step()
    edges = again.edges(again.structure >= 0)
    each, shared = again.losses(edges, torch.softmax(again.features, 1))
    p = torch.softmax(again.features, 1)
    loss = each.mean() + shared + 0.01 * -(p * p.log()).sum(1).mean()
    (wanted,) = torch.autograd.grad(loss, again.features)
    torch.testing.assert_close(made.features.grad, wanted)
    torch.testing.assert_close(made.best["objective"], loss.detach())
    torch.testing.assert_close(made.best["cross_entropy"], each.mean().detach())


@pytest.mark.parametrize("kind", ["onehot", "degree", "continuous"])
@pytest.mark.parametrize("discrete", [True, False])
def test_features_follow_their_strategy(kind, discrete):
    made = inverter(feature_type=kind)
    for _ in range(3):
        made.step()
    graphs = made.graphs(discrete=discrete)
    assert len(graphs) == 3
    assert torch.bincount(graphs.owner).tolist() == SIZES.tolist()
    if kind == "continuous":
        assert torch.equal(graphs.features, made.best["features"])
        return
    torch.testing.assert_close(graphs.features.sum(1), torch.ones(12))
    if kind == "degree":
        degree = torch.bincount(graphs.edges[1], minlength=12).clamp(max=2)
        assert torch.equal(graphs.features.argmax(1), degree)
        assert made.features.grad is None  # nothing to learn there
    if discrete:
        assert set(graphs.features.unique().tolist()) == {0.0, 1.0}
    if kind == "onehot":
        assert torch.equal(graphs.features.argmax(1), made.best["features"].argmax(1))


def test_the_graphs_of_the_smallest_loss_are_kept():
    made = inverter(lr_features=50.0)
    seen = []
    for _ in range(6):
        edges = made.edges(made.structure >= 0)
        with torch.no_grad():
            each, shared = made.losses(edges, made.node_features(edges))
        entropy = assignment_entropy(made.features.detach()).mean()
        seen.append((each.mean() + shared + 0.01 * entropy).item())
        made.step()
    assert made.best["objective"].item() == pytest.approx(min(seen), rel=1e-5)
    assert min(seen) < seen[-1]  # sampled structures may be worse than those before
    graphs = made.graphs(discrete=False)
    each, shared = made.losses(graphs.edges, graphs.features)
    entropy = -(graphs.features * graphs.features.clamp(min=1e-30).log()).sum(1).mean()
    assert (each.mean() + shared + 0.01 * entropy).item() == pytest.approx(min(seen), rel=1e-4)


def test_the_objective_falls():
    made = inverter(lr_features=0.1)
    made.step()
    start = made.best["objective"].item()
    for _ in range(60):
        made.step()
    assert made.best["objective"].item() < 0.7 * start


def test_both_rates_decay_whenever_so_many_steps_have_passed():
    made = inverter(decay_every=2, decay=0.5)
    rates = []
    for _ in range(5):
        made.step()
        optimizers = (made._adam_structure, made._adam_features)
        rates.append([o.param_groups[0]["lr"] for o in optimizers])
    assert [structure for structure, _ in rates] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert [features for _, features in rates] == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.0025])


def test_without_anything_to_learn_the_graphs_stay_as_drawn():
    made, other = inverter(learn_structure=False, learn_features=False), inverter()
    structure, features = made.structure.clone(), made.features.clone()
    assert torch.equal(structure, other.structure)  # arms start alike
    made.step()
    assert torch.equal(made.structure, structure)
    assert torch.equal(made.features, features)
    assert made.best["objective"].isfinite()


def test_a_state_brings_everything_back():
    whole, parts = inverter(), inverter()
    for _ in range(3):
        whole.step()
        parts.step()
    other = inverter()
    other.load_state_dict(parts.state_dict())
    other.rng.set_state(parts.rng.get_state())
    for _ in range(3):
        whole.step()
        other.step()
    assert torch.equal(whole.structure, other.structure)
    assert torch.equal(whole.features, other.features)
    assert all(torch.equal(whole.best[name], other.best[name]) for name in whole.best)


def test_bad_input_is_refused_at_the_door():
    with pytest.raises(InputError, match="no feature type 'labels': give onehot, degree or"):
        inverter(feature_type="labels")
    plain = Summing(norm=False).eval()
    with pytest.raises(InputError, match=r"no BatchNorm layer.*weight of the statistics loss to 0"):
        inverter(plain)
    with frozen(plain):
        inverter(plain, bn_weight=0.0).step()


def test_entropy_of_an_assignment():
    logits = torch.tensor([[0.0, 0.0], [200.0, -200.0], [1.0, 0.0]], requires_grad=True)
    entropy = assignment_entropy(logits)
    p = torch.sigmoid(torch.tensor(1.0)).item()
    by_hand = -(p * torch.tensor(p).log() + (1 - p) * torch.tensor(1 - p).log())
    torch.testing.assert_close(
        entropy, torch.stack([torch.tensor(2.0).log(), 0 * by_hand, by_hand])
    )
    entropy.sum().backward()
    assert logits.grad.isfinite().all()
