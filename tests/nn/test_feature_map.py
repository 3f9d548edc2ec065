"""The last feature map is found in networks of many kinds."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.feature_map import find_feature_map
from bequest.nn.inspection import penultimate_layer
from bequest.nn.normalize import Normalized
from bequest.testing import fingerprint

SIZE = (3, 32, 32)


class PoolsByModule(nn.Module):
    """As torchvision's: average pooling and flattening are modules, the ReLU before is none."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(6, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.flatten(self.pool(F.relu(self.stem(images)))))


def network(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "pools-by-module":
            return PoolsByModule()
        if name == "normalized":
            return Normalized(zoo.build("resnet8", num_classes=4), [0.4] * 3, [0.2] * 3)
        return zoo.build(name, num_classes=4)


@pytest.mark.parametrize(
    "name",
    [
        *("resnet8", "resnet18", "wrn_16_1", "vgg8_bn", "mobilenet_v2", "shufflenet_v2"),
        *("convnet4", "pools-by-module", "normalized"),
    ],
)
def test_its_average_goes_through_the_last_layer_to_the_logits(name: str) -> None:
    net = network(name)
    before = fingerprint(net)
    found = find_feature_map(net, image_size=SIZE, exact=True)
    assert net.training
    assert fingerprint(net) == before
    assert not any(module._forward_hooks for module in net.modules())
    images = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(1))
    net.eval()
    features, logits = found(net, images)
    assert features.shape == (3, found.channels, *found.size)
    if name != "vgg8_bn":  # which ends at 1x1
        assert found.size[0] > 1
    head = penultimate_layer(net)
    torch.testing.assert_close(
        head(F.adaptive_avg_pool2d(features, 1).flatten(1)), logits, rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(net(images), logits)


def test_gradients_reach_the_network() -> None:
    net = network("wrn_16_1").train()
    features, _ = find_feature_map(net, image_size=SIZE, exact=True)(net, torch.rand(2, *SIZE))
    features.square().mean().backward()
    assert net.conv1.weight.grad.abs().sum() > 0


def test_a_hidden_layer_behind_the_map_is_refused_where_it_matters() -> None:
    net = zoo.build("lenet5_bn", num_classes=4, in_channels=1)
    with pytest.raises(InputError, match="teacher must end in a feature map"):
        find_feature_map(net, image_size=(1, 28, 28), exact=True, name="teacher")
    found = find_feature_map(net, image_size=(1, 28, 28), exact=False)
    assert (found.layer, found.channels, found.size) == ("bn2", 16, (10, 10))


def test_no_map_and_no_linear_layer() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    with pytest.raises(InputError, match="student has no feature map"):
        find_feature_map(flat, image_size=(3, 2, 2), exact=False, name="student")
    with pytest.raises(InputError, match=r"no nn\.Linear"):
        find_feature_map(nn.Conv2d(3, 3, 1), image_size=(3, 2, 2), exact=False)
