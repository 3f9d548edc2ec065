"""The whole of GFKD on tiny networks; what it leaves alone, what it refuses."""

from __future__ import annotations

import hashlib
import math

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.methods.base import change, configure
from bequest.methods.graphs.gfkd import GFKD
from bequest.methods.graphs.real_graph_kd import RealGraphKD
from bequest.nn.graph_networks import build_graph_network
from bequest.run import Run

pytest.importorskip("torch_geometric", reason="needs the extra graphs")

TINY = GFKD(
    num_graphs=12, min_nodes=3, max_nodes=6, inversion_steps=4, student_steps=6, batch_size=5
)
ARGUMENTS = {"num_features": 3, "num_classes": 2}


def network(seed, name="gcn-3-6"):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_graph_network(name, **ARGUMENTS)


def fit(method=TINY, *, teacher=None, student=None, run=None, monitor=None):
    with run or Run(seed=0, device="cpu", precision="fp32") as run:
        return method.fit(
            teacher or network(0), student or network(1), **ARGUMENTS, run=run, monitor=monitor
        )


def digest(module):
    value = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        value.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return value.hexdigest()


@pytest.mark.parametrize("names", [("gcn-3-6", "gcn-2-4"), ("gin-3-6", "gin-2-4"),
                                   ("gcn-3-6", "gin-2-4")])  # fmt: skip
@pytest.mark.parametrize("kind", ["onehot", "degree", "continuous"])
def test_a_student_of_any_kind_learns_from_a_teacher_of_any_kind(names, kind):
    teacher, student = (network(seed, name) for seed, name in enumerate(names))
    before, start = digest(teacher), digest(student)
    result = fit(change(TINY, feature_type=kind), teacher=teacher, student=student)
    assert digest(teacher) == before
    assert teacher.training
    assert all(p.grad is None and p.requires_grad for p in teacher.parameters())
    assert digest(result.model) != start
    assert {"agreement", "intended", "objective", "density"} <= set(result.metrics)
    assert result.metrics["negative_objective"] == -result.metrics["objective"]
    assert all(map(math.isfinite, result.metrics.values()))


def test_arms_start_from_the_same_graphs():
    random = change(TINY, learn_structure=False, learn_features=False)
    features = change(TINY, learn_structure=False)
    made = {}
    for name, method in (("random", random), ("features", features), ("gfkd", TINY)):
        with Run(seed=3, device="cpu", precision="fp32") as run:
            made[name] = method.invert(network(0), **ARGUMENTS, run=run)
    assert torch.equal(made["random"].edges, made["features"].edges)
    assert torch.equal(made["random"].owner, made["gfkd"].owner)
    sizes = torch.bincount(made["gfkd"].owner)
    assert len(sizes) == 12
    assert 3 <= sizes.min() <= sizes.max() <= 6


def test_graphs_are_one_hot_unless_they_stay_relaxed():
    for discrete in (True, False):
        with Run(seed=0, device="cpu", precision="fp32") as run:
            made = change(TINY, discrete=discrete).invert(network(0), **ARGUMENTS, run=run)
        values = set(made.features.unique().tolist())
        assert (values == {0.0, 1.0}) is discrete


def test_longer_training_agrees_better():
    """On what it is taught the student comes close to its teacher."""
    long = change(TINY, num_graphs=24, student_steps=150, batch_size=24)
    assert fit(long).metrics["agreement"] > 90


def test_a_run_repeats_to_the_last_bit():
    assert digest(fit().model) == digest(fit().model)


@pytest.mark.parametrize("last", [2, 7])
def test_a_broken_off_run_goes_on_to_the_same_weights(tmp_path, last):
    """Broken off in the inversion, and in the distillation."""
    options = {"seed": 0, "device": "cpu", "precision": "fp32", "checkpoint_seconds": 0.0}
    run = Run(tmp_path, **options)
    logged, seen = run.log, []

    def log(**values):
        if len(seen) == last:
            raise KeyboardInterrupt
        seen.append(values)
        logged(**values)

    run.log = log
    with pytest.raises(KeyboardInterrupt):
        fit(run=run)
    resumed = fit(run=Run(tmp_path, resume=True, **options))
    assert digest(resumed.model) == digest(fit().model)


class Plain(nn.Module):
    """A graph classifier without BatchNorm."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x, edge_index, batch):
        y = self.linear(x)
        return y.new_zeros(int(batch[-1]) + 1, 2).index_add(0, batch, y)


def test_a_teacher_without_batch_norm_is_refused_unless_its_statistics_are_not_asked():
    with pytest.raises(InputError, match="no BatchNorm layer"):
        fit(teacher=Plain())
    result = fit(change(TINY, bn_weight=0.0), teacher=Plain())
    assert math.isfinite(result.metrics["objective"])


def test_what_cannot_work_is_refused_before_any_work():
    with pytest.raises(InputError, match="feature_type"):
        configure(GFKD, {"feature_type": "labels"})
    with pytest.raises(InputError, match="min_nodes is 9 and max_nodes 6"):
        fit(change(TINY, min_nodes=9))
    with pytest.raises(InputError, match="teacher cannot take two graphs with 3 features"):
        fit(teacher=build_graph_network("gcn-3-4", num_features=5, num_classes=2))
    with pytest.raises(InputError, match="student gives"):
        fit(student=build_graph_network("gcn-3-4", num_features=3, num_classes=4))


def test_kd_on_real_graphs_is_the_same_student_on_other_graphs():
    with Run(seed=0, device="cpu", precision="fp32") as run:
        graphs = change(TINY, num_graphs=24).invert(network(0), **ARGUMENTS, run=run)
    teacher = network(0)
    before = digest(teacher)
    with Run(seed=0, device="cpu", precision="fp32") as run:
        result = RealGraphKD(student_steps=150, batch_size=24).fit(
            teacher, network(1), graphs=graphs, num_classes=2, run=run
        )
    assert digest(teacher) == before
    assert result.metrics["agreement"] > 90
