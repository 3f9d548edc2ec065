from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.pruning import (
    filter_scores,
    layer_dependent,
    prune_backbone,
    removed_filters,
)
from bequest.nn.taps import Taps, layout

pytest.importorskip("torch_pruning", reason="torch-pruning is in bequest[compress]")
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def build(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = zoo.build(name, num_classes=10)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.3)
                layer.running_var.uniform_(0.5, 2)
                layer.weight.data.uniform_(0.5, 1.5)
                layer.bias.data.normal_(0, 0.3)
    return network.eval()


def prune(network, **options):
    values = {"sparsity": 0.5, "rule": "uniform", "min_channels": 2, **options}
    return prune_backbone(network, IMAGES, layout(network, IMAGES), **values)


def test_scores_are_sums_over_each_filter():
    convolution = nn.Conv2d(2, 3, 1, bias=False)
    convolution.weight.data = torch.tensor([[3.0, 0], [2, -2], [-1, 0.5]])[:, :, None, None]
    norm = nn.BatchNorm2d(3)
    norm.weight.data = torch.tensor([-2.0, 0.5, 1])
    assert filter_scores(convolution, criterion="l1").tolist() == [3, 4, 1.5]
    # The authors' code sums squares where the paper says L1: another order.
    assert filter_scores(convolution, criterion="l2").tolist() == [9, 8, 1.25]
    assert filter_scores(convolution, norm, criterion="bn").tolist() == [2, 0.5, 1]
    with pytest.raises(InputError, match="choose l1 or l2"):
        filter_scores(convolution, nn.BatchNorm2d(3, affine=False), criterion="bn")


def test_the_smallest_leave_rounded_down_and_a_few_stay_always():
    scores = torch.tensor([5.0, 1, 4, 2, 3])
    assert removed_filters(scores, 0.5, min_channels=1, name="c") == [1, 3]
    assert removed_filters(scores, 0.99, min_channels=1, name="c") == [1, 2, 3, 4]
    assert removed_filters(scores, 0.9, min_channels=3, name="c") == [1, 3]
    assert removed_filters(scores, 0.9, min_channels=10, name="c") == []
    with pytest.raises(InputError, match="empty the layer"):
        removed_filters(scores, 1.0, min_channels=1, name="c")


def test_the_rule_of_the_paper():
    shares = {512: 0.65, 500: 0.65, 256: 0.5, 200: 0.2, 128: 0.2, 64: 0.2}
    for channels, share in shares.items():
        assert layer_dependent(channels, 0.5) == pytest.approx(share)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "wrn_16_1", "mobilenet_v2"])
def test_only_channels_inside_blocks_leave_and_the_head_fits(name):
    network = build(name)
    plan = layout(network, IMAGES)
    pruned, report = prune(network)
    maps = []
    for one in (network, pruned):
        with torch.no_grad(), Taps(one, plan.taps) as taps:
            assert one(IMAGES).shape == (2, 10)
        maps.append([tuple(value.shape) for value in taps.values()])
    assert maps[0] == maps[1]
    assert 0.2 < report.realised < 0.7
    assert report.parameters_after == sum(p.numel() for p in pruned.parameters())
    # Stem and shortcuts are as they were.
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    assert next(m for m in pruned.modules() if isinstance(m, nn.Conv2d)).weight.equal(first.weight)


def test_in_a_basic_block_the_first_convolution_loses_its_smallest_filters():
    network = build("resnet8")
    pruned, report = prune(network, criterion="l2")
    for name, kept in report.kept.items():
        layer = network.get_submodule(name)
        squares = [float((filter**2).sum()) for filter in layer.weight.detach()]
        smallest = sorted(range(len(squares)), key=squares.__getitem__)[: len(squares) // 2]
        assert set(kept) == set(range(len(squares))) - set(smallest)
        assert pruned.get_submodule(name).weight.equal(layer.weight[kept])
    assert set(report.kept) == {f"layer{stage}.0.conv1" for stage in (1, 2, 3)}


def test_a_pruned_block_gives_what_the_block_gives_with_those_channels_at_zero():
    # A channel that leaves takes its BatchNorm shift along: scale and shift are zero here.
    network = build("resnet8")
    pruned, report = prune(network)
    masked = copy.deepcopy(network)
    for name, kept in report.kept.items():
        norm = masked.get_submodule(name.replace("conv1", "bn1"))
        gone = [place for place in range(norm.num_features) if place not in kept]
        norm.weight.data[gone] = 0
        norm.bias.data[gone] = 0
    with torch.no_grad():
        assert torch.allclose(pruned(IMAGES), masked(IMAGES), atol=1e-5)
        assert not torch.allclose(pruned(IMAGES), network(IMAGES), atol=1e-2)


def test_the_unpruned_network_is_left_alone():
    network = build("resnet8").requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pruned, _ = prune(network)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(p.requires_grad for p in [*network.parameters(), *pruned.parameters()])


def test_the_realised_share_is_not_the_nominal_one():
    _, uniform = prune(build("resnet8"))
    _, dependent = prune(build("resnet8"), rule="layer-dependent")
    assert dependent.realised < 0.25 < uniform.realised
    _, own = prune(build("resnet8"), rule=lambda channels, sparsity: 0.25)
    assert dependent.realised < own.realised < uniform.realised


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.0}, "empty the layer"),
        ({"sparsity": 0.01}, "removes no filter"),
        ({"min_channels": 64}, "removes no filter"),
    ],
)
def test_a_sparsity_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        prune(build("resnet8"), **options)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(InputError, match=r"pip install \"bequest\[compress\]\""):
        prune(build("resnet8"))


def test_a_network_that_cannot_be_followed_is_refused():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))

        def forward(self, x):
            with torch.no_grad():
                return self.layers(x)

    with pytest.raises(InputError, match=r"cannot follow Odd|removes no filter"):
        prune(Odd())
