"""RELIANT on a small graph: its steps by hand, what each part does, what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.fairness import soft_group_gap
from bequest.methods.base import change
from bequest.methods.graphs.reliant import RELIANT, FairStudent, probability_distance
from bequest.metrics.fairness import fairness_figures
from bequest.ops.node_graphs import NodeGraph
from bequest.run import Run

NODES = 120
TINY = RELIANT(host="kd", gap_on="labelled", fairness_weight=10.0, epochs=4, weight_decay=0.0)
PLAIN = {"proxy": "none", "penalty": False}


def biased(seed=0):
    """No edges matter here: a label that follows the group, features that tell both."""
    draw = torch.Generator().manual_seed(seed)
    group = torch.arange(NODES) % 2
    label = (torch.rand(NODES, generator=draw) < 0.8 - 0.5 * group).long()
    features = torch.stack([group.float(), label + torch.randn(NODES, generator=draw)], dim=1)
    part = torch.arange(NODES) // 2 % 3
    return NodeGraph(
        features=features,
        edges=torch.zeros(2, 0, dtype=torch.int64),
        labels=label,
        sensitive=group,
        train=part == 0,
        validation=part == 1,
        test=part == 2,
    )


class Linear(nn.Module):
    """A node classifier that ignores edges."""

    def __init__(self, columns=4, classes=2, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.linear = nn.Linear(columns, classes)

    def forward(self, x, edge_index):
        return self.linear(x)


def teacher_logits(graph):
    margin = 2 * graph.labels - 1 - 1.5 * graph.sensitive
    return torch.stack([torch.zeros(NODES), margin.float()], dim=1)


def fit(method=TINY, *, graph=None, student=None, logits=None, run=None, **options):
    graph = graph or biased()
    logits = teacher_logits(graph) if logits is None else logits
    with run or Run(seed=0, device="cpu", precision="fp32") as run:
        return method.fit(student or Linear(), graph, logits, run=run, **options)


def test_the_norm_of_cpf_grows_with_the_root_of_the_nodes():
    logits, targets = torch.zeros(1, 2), torch.tensor([[0.9, 0.1]])
    assert probability_distance(logits, targets).item() == pytest.approx(math.sqrt(0.32))
    many = probability_distance(logits.expand(25, -1), targets.expand(25, -1)).item()
    assert many == pytest.approx(5 * math.sqrt(0.32))


def test_one_step_by_hand():
    """The student learns on the mean of the proxy, then the proxy to make it biased."""
    graph, student = biased(), Linear()
    logits = teacher_logits(graph)
    method = change(TINY, epochs=1, learning_rate=0.05)
    with Run(seed=0, device="cpu", precision="fp32") as run:
        proxy = method.initial_proxy(graph, run).detach().clone()

    other = Linear()
    optimizer = torch.optim.Adam(other.parameters(), lr=0.05)
    mean = proxy.mean(0).expand(NODES, -1)
    answer = other(torch.cat([graph.features, mean], 1), None)
    loss = F.kl_div(answer.log_softmax(1), logits.softmax(1), reduction="batchmean")
    loss = loss + F.cross_entropy(answer[graph.train], graph.labels[graph.train])
    train = graph.train
    loss = loss + 10 * soft_group_gap(answer.softmax(1)[train], graph.sensitive[train])
    loss.backward()
    optimizer.step()
    proxy.requires_grad_()
    proxy_optimizer = torch.optim.Adam([proxy], lr=0.05)
    answer = other(torch.cat([graph.features, proxy], 1), None)
    (-10 * soft_group_gap(answer.softmax(1)[train], graph.sensitive[train])).backward()
    proxy_optimizer.step()

    result = fit(method, student=student)
    assert torch.allclose(student.linear.weight, other.linear.weight, atol=1e-6)
    assert torch.allclose(result.model.row, proxy.detach().mean(0), atol=1e-6)


def test_what_is_deployed_takes_plain_features_and_the_mean_of_the_proxy():
    graph = biased()
    result = fit(graph=graph)
    model = result.model
    assert isinstance(model, FairStudent)
    expected = model.network(
        torch.cat([graph.features, model.row.expand(NODES, -1)], 1), graph.edges
    )
    assert torch.equal(model(graph.features, graph.edges), expected)
    assert "row" in model.state_dict()
    assert {"gap", "gap_by_proxy", "validation_accuracy"} <= set(result.metrics)


LONG = change(TINY, epochs=150, learning_rate=0.05)


def gaps(method):
    graph = biased()
    model = fit(method, graph=graph).model.eval()
    logits = model(graph.features, graph.edges)[graph.test]
    return fairness_figures(logits, graph.labels[graph.test], graph.sensitive[graph.test])


def test_the_penalty_takes_the_bias_and_the_student_stays_of_use():
    plain, fair = gaps(change(LONG, **PLAIN)), gaps(LONG)
    assert plain["parity_gap"] > 40
    assert fair["parity_gap"] < plain["parity_gap"] / 2
    assert fair["auc"] > 60
    assert 5 < fair["positive_rate"] < 95
    opportunity = gaps(change(LONG, notion="opportunity"))
    assert opportunity["opportunity_gap"] < plain["opportunity_gap"]


def test_the_proxy_is_learnt_to_be_biased():
    result = fit(change(LONG, epochs=60, penalty=False))
    assert result.metrics["gap_by_proxy"] > result.metrics["gap"]


def test_without_proxy_and_penalty_it_is_plain_distillation():
    graph, student, other = biased(), Linear(), Linear()
    result = fit(change(TINY, **PLAIN), student=student)
    assert torch.equal(result.model.row, torch.zeros(2))
    optimizer = torch.optim.Adam(other.parameters(), lr=TINY.learning_rate)
    x = torch.cat([graph.features, torch.zeros(NODES, 2)], 1)
    best, kept = -1.0, None
    for _ in range(4):
        answer = other(x, None)
        loss = F.kl_div(
            answer.log_softmax(1), teacher_logits(graph).softmax(1), reduction="batchmean"
        ) + F.cross_entropy(answer[graph.train], graph.labels[graph.train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right = (other(x, None).argmax(1) == graph.labels)[graph.validation].float().mean().item()
        if right >= best:  # of equally good epochs the last
            best, kept = right, other.linear.weight.detach().clone()
    assert torch.allclose(student.linear.weight, kept, atol=1e-6)


def test_the_sensitive_attribute_as_the_proxy():
    graph = biased()
    with Run(seed=0, device="cpu", precision="fp32") as run:
        proxy = change(TINY, proxy="sensitive").initial_proxy(graph, run)
    assert torch.equal(proxy[:, 0], graph.sensitive.float())
    assert torch.equal(proxy.sum(1), torch.ones(NODES))
    result = fit(change(TINY, proxy="sensitive"), graph=graph)
    assert result.model.row.tolist() == pytest.approx([0.5, 0.5])


def test_the_labels_of_test_and_validation_nodes_do_not_teach():
    """Equal opportunity on unlabelled nodes takes the teacher's classes there."""
    graph = biased()
    method = change(TINY, notion="opportunity", gap_on="unlabelled", host="cpf", patience=4)
    turned = torch.where(graph.test, 1 - graph.labels, graph.labels)
    other = NodeGraph(**vars(graph) | {"labels": turned})
    logits = torch.stack([torch.zeros(NODES), 2.0 * graph.labels - 1], dim=1)
    first, second = (fit(method, graph=g, logits=logits).model for g in (graph, other))
    assert torch.equal(first.network.linear.weight, second.network.linear.weight)


def test_the_host_may_see_the_proxy_and_may_be_ones_own():
    seen = []

    def host(logits):
        seen.append(logits.detach().clone())
        return logits.square().mean()

    graph = biased()
    constant = NodeGraph(**vars(graph) | {"features": torch.zeros(NODES, 2)})
    logits = teacher_logits(graph)
    fit(graph=constant, logits=logits, host_loss=host)
    assert all(torch.allclose(each, each[:1].expand(NODES, -1)) for each in seen)  # the mean row
    seen.clear()
    fit(change(TINY, distil_on="proxy"), graph=constant, logits=logits, host_loss=host)
    assert not torch.allclose(seen[0], seen[0][:1].expand(NODES, -1))


def test_patience_ends_the_run():
    def host(logits):
        return 0 * logits.sum()

    method = change(TINY, **PLAIN, epochs=50, patience=3)
    with Run(seed=0, device="cpu", precision="fp32") as run:
        graph = biased()
        # Nothing is learnt, so that every epoch is as good as the best and none is waited for.
        method.fit(Linear(), graph, teacher_logits(graph), run=run, host_loss=host)
        assert run.step == 50

    def away(logits):
        return F.cross_entropy(logits[graph.validation], 1 - graph.labels[graph.validation])

    trained = Linear()
    with torch.no_grad():
        trained.linear.weight.copy_(torch.tensor([[0, -1, 0, 0], [0, 1, 0, 0]]))
        trained.linear.bias.copy_(torch.tensor([0.5, -0.5]))
    with Run(seed=0, device="cpu", precision="fp32") as run:
        change(method, learning_rate=0.3).fit(
            trained, graph, teacher_logits(graph), run=run, host_loss=away
        )
        assert run.step < 50


@pytest.mark.parametrize("last", [1, 3])
def test_a_broken_off_run_goes_on_to_the_same_weights(tmp_path, last):
    options = {"seed": 0, "device": "cpu", "precision": "fp32", "checkpoint_seconds": 0.0}
    run = Run(tmp_path, **options)
    logged, seen = run.log, []

    def log(**values):
        if "distillation" in values:
            if len(seen) == last:
                raise KeyboardInterrupt
            seen.append(values)
        logged(**values)

    run.log = log
    with pytest.raises(KeyboardInterrupt):
        fit(run=run)
    resumed = fit(run=Run(tmp_path, resume=True, **options)).model
    whole = fit().model
    assert all(torch.equal(a, b) for a, b in zip(resumed.state_dict().values(),
                                                 whole.state_dict().values()))  # fmt: skip


def test_what_cannot_work_is_refused_before_any_work():
    graph = biased()
    with pytest.raises(InputError, match="one row for each of the 120 nodes"):
        fit(logits=torch.zeros(7, 2))
    with pytest.raises(InputError, match="NaN or infinite"):
        fit(logits=torch.zeros(NODES, 2).log())
    with pytest.raises(InputError, match="The student cannot take 120 nodes with 4 values"):
        fit(student=Linear(columns=2))
    with pytest.raises(InputError, match="must give logits of the same classes"):
        fit(student=Linear(classes=3))
    with pytest.raises(InputError, match="knows 1 classes"):
        fit(logits=torch.zeros(NODES, 1))
    with pytest.raises(InputError, match="has 2 columns"):
        fit(change(TINY, proxy="sensitive", proxy_dim=3))
    nobody = torch.where((graph.sensitive == 1), 0, graph.labels)
    with pytest.raises(InputError, match="Group 1 is empty among"):
        fit(change(TINY, notion="opportunity"), graph=NodeGraph(**vars(graph) | {"labels": nobody}))
