"""Instance features against means taken by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.nn.normalize import Normalized
from bequest.synthesis.instance_means import InstanceMeans


def network(*channels):
    torch.manual_seed(0)
    layers, before = [], 1
    for width in channels:
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(True)]
        before = width
    return nn.Sequential(*layers).eval()


def test_features_are_the_means_before_each_batch_norm():
    net, images = network(3, 5), torch.rand(4, 1, 6, 6)
    first = net[0](images)
    second = net[3](net[:3](images))
    expected = torch.cat([first.mean((2, 3)), second.mean((2, 3))], dim=1)
    with InstanceMeans(Normalized(net, [0.0], [1.0])) as means:
        means_of = means.length
        Normalized(net, [0.0], [1.0])(images)
        features = means.features
    assert means_of == 8
    assert torch.allclose(features, expected, atol=1e-6)


def test_gradients_reach_the_images():
    images = torch.rand(2, 1, 6, 6, requires_grad=True)
    net = network(3)
    with InstanceMeans(net) as means:
        net(images)
        means.features.square().sum().backward()
    assert images.grad.abs().sum() > 0


def test_flat_inputs_are_taken_as_they_are():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    images = torch.rand(5, 1, 2, 2)
    with InstanceMeans(net) as means:
        net(images)
        assert torch.allclose(means.features, net[:2](images))


@pytest.mark.parametrize(
    ("limit", "kept"),
    [(100, [2, 3, 4, 5]), (14, [2, 3, 4, 5]), (13, [3, 5]), (7, [2, 5]), (1, [5])],
)
def test_layers_are_left_out_evenly_until_the_limit_is_kept(limit, kept):
    means = InstanceMeans(network(2, 3, 4, 5), limit=limit)
    assert [layer.num_features for layer in means.layers] == kept
    assert means.length == sum(kept)


def test_hooks_are_gone_afterwards_and_each_pass_is_used_once():
    net = network(3)
    with InstanceMeans(net) as means:
        net(torch.rand(2, 1, 6, 6))
        _ = means.features
        with pytest.raises(InputError, match="not called"):
            _ = means.features
    assert not any(layer._forward_pre_hooks for layer in net.modules())


def test_a_network_without_batch_norm_is_refused():
    with pytest.raises(InputError, match="no BatchNorm"):
        InstanceMeans(nn.Sequential(nn.Conv2d(1, 3, 3)))
