from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.taps import Taps, layout, trace

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class InPlaceBlock(nn.Module):
    """As in torchvision: shortcut and ReLU work on the tensor that the last BatchNorm gave."""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.conv1(x))))
        out += x
        return F.relu(out, inplace=True)


def build(name, channels=3):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return zoo.build(name, num_classes=10, in_channels=channels)


@pytest.mark.parametrize("training", [False, True])
def test_a_tap_is_what_the_module_gave_whatever_is_done_to_it_later(training):
    block = InPlaceBlock(3).train(training)
    with Taps(block, ["bn2", ""]) as taps:
        block(IMAGES)
    norm, whole = taps.values()
    assert norm.min() < 0 <= whole.min()
    assert torch.allclose(whole, F.relu(norm + IMAGES))


def test_taps_need_modules_that_exist_and_are_called_and_leave_no_hooks():
    block = InPlaceBlock(3)
    with pytest.raises(InputError, match="no module to tap 'bn3'"):
        Taps(block, ["bn3"])
    with Taps(block, ["bn2"]) as taps:
        pass
    with pytest.raises(InputError, match="bn2"):
        taps.values()
    assert not any(module._forward_hooks for module in block.modules())


def test_residual_networks_are_tapped_at_their_blocks():
    plan = layout(build("resnet20"), IMAGES)
    assert plan.taps == tuple(f"layer{s}.{b}" for s in (1, 2, 3) for b in (0, 1, 2))
    # The last convolution of a block gives the tapped map, so that it stays.
    assert plan.candidates == tuple(f"{tap}.conv1" for tap in plan.taps)
    assert plan.head == ("linear",)


def test_behind_the_last_block_the_last_convolution_is_tapped_after_its_activation():
    plan = layout(build("mobilenet_v2"), IMAGES)
    assert plan.taps[-1] == "features.18.2"
    assert not any(name.startswith("features.18") for name in plan.candidates)


def test_in_a_chain_the_first_convolution_and_the_last_of_each_size_stay():
    network = build("vgg16_bn")
    plan = layout(network, IMAGES)
    kept = {name for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    kept -= set(plan.candidates)
    # Stages of 2, 2, 3, 3 and 3 convolutions with a pooling behind each.
    assert kept == {f"features.{place}" for place in (0, 3, 10, 20, 30, 40)}
    assert [type(network.get_submodule(name)) for name in plan.taps] == [nn.ReLU] * 6


def test_where_each_convolution_has_a_size_of_its_own_every_second_one_stays():
    plan = layout(build("lenet5_bn", 1), torch.rand(2, 1, 28, 28))
    assert plan.candidates == ("conv2",)
    assert plan.taps == ("bn1", "bn3")


def test_the_output_of_a_backbone_is_tapped_too():
    backbone = nn.Sequential(InPlaceBlock(3), InPlaceBlock(3), nn.MaxPool2d(2))
    assert layout(backbone, IMAGES).taps == ("0", "1", "")
    assert layout(backbone[:2], IMAGES).taps == ("0", "1")


def test_taps_by_name_leave_all_other_convolutions_to_be_pruned():
    plan = layout(build("resnet8"), IMAGES, taps=["layer2"])
    assert plan.taps == ("layer2",)
    assert "layer1.0.conv2" in plan.candidates
    assert "layer2.0.conv2" not in plan.candidates
    assert "linear" in plan.head
    assert "layer3.0.bn2" in plan.head


@pytest.mark.parametrize(
    ("network", "taps", "message"),
    [
        (nn.Flatten(), (), "no nn.Conv2d"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), ("1",), "no module to tap '1'"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), ("1",), "'1' cannot be tapped"),
    ],
)
def test_what_cannot_be_watched_is_said(network, taps, message):
    with pytest.raises(InputError, match=message):
        layout(network, IMAGES, taps=taps)


def test_a_trace_changes_nothing():
    network = build("resnet8").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    calls = trace(network, IMAGES)
    assert calls[-1].name == ""
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
