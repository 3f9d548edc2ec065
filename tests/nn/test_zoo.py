"""The table of networks: names, sizes, shapes, and manners."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.inspection import batch_norm_layers, penultimate_layer
from bequest.nn.shufflenet import interleave

# Large enough for every network, small enough for a test.
IMAGE_SIZE = 16
SMALLEST_OF_FAMILIES = (
    *("resnet8", "resnet18", "resnet50", "wrn_16_1", "vgg8_bn"),
    *("mobilenet_v2", "shufflenet_v2", "convnet8", "lenet5_bn"),
)  # LeNet-5 last: it alone has a smallest image size.


def convnet_size(width: int, *, classes: int, channels: int) -> int:
    """Parameters of the five convolutions, their BatchNorm and the linear layer, by hand."""
    widths = [channels, width, 2 * width, 2 * width, 4 * width, 4 * width]
    convolutions = sum(9 * before * after for before, after in itertools.pairwise(widths))
    return convolutions + 2 * sum(widths[1:]) + (4 * width + 1) * classes


def wide_resnet_size(depth: int, widen: int, *, classes: int) -> int:
    """Parameters by hand: stem, blocks of two convolutions and two BatchNorms, shortcuts, head."""
    total = 9 * 3 * 16
    before = 16
    for stage in (16 * widen, 32 * widen, 64 * widen):
        for position in range((depth - 4) // 6):
            changes = position == 0 and (stage != before or stage > 16 * widen)
            total += 2 * before + 9 * before * stage + 2 * stage + 9 * stage * stage
            total += before * stage if changes else 0
            before = stage
    return total + 2 * before + (before + 1) * classes


# Published for ten classes: the CIFAR ResNets by akamaster, ResNet-18/34/50 and VGG by kuangliu
# (pytorch-cifar), MobileNetV2 and ShuffleNetV2 by torchvision less the difference of the heads.
PUBLISHED = {
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet18": 11_173_962,
    "resnet34": 21_282_122,
    "resnet50": 23_520_842,
    "vgg11_bn": 9_231_114,
    "vgg13_bn": 9_416_010,
    "vgg16_bn": 14_728_266,
    "vgg19_bn": 20_040_522,
    "vgg8_bn": 3_965_028 - 90 * 513,
    "mobilenet_v2": 3_504_872 - 990 * 1281,
    "shufflenet_v2": 2_278_604 - 990 * 1025,
    # Two 3x3 convolutions a stage: 16, 32 and 64 channels; BatchNorm; head.
    "resnet8": 432 + 9 * (2 * 256 + 512 + 1024 + 2048 + 4096) + 2 * (3 * 16 + 64 + 128) + 650,
    "wrn_16_1": wide_resnet_size(16, 1, classes=10),
    "wrn_16_2": 691_674,
    "wrn_40_1": 563_930,
    "wrn_40_2": 2_243_546,
    "convnet4": convnet_size(4, classes=10, channels=3),
    "convnet64": convnet_size(64, classes=10, channels=3),
}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", zoo.names())
def test_has_the_published_size_and_gives_logits_from_a_linear_layer(name: str) -> None:
    network = zoo.build(name, num_classes=10).eval()
    assert parameters(network) == PUBLISHED.get(name, parameters(network))
    with torch.no_grad():
        assert network(torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE)).shape == (2, 10)
    assert penultimate_layer(network).out_features == 10
    assert batch_norm_layers(network)


def test_the_formula_for_wide_resnets_agrees_with_the_published_sizes() -> None:
    assert wide_resnet_size(40, 2, classes=10) == PUBLISHED["wrn_40_2"]
    assert wide_resnet_size(16, 2, classes=10) == PUBLISHED["wrn_16_2"]


def test_lenet_has_the_size_of_the_paper_with_batch_norm_for_biases() -> None:
    # 61,706 with one channel and biases; BatchNorm puts two values where each bias was.
    network = zoo.build("lenet5_bn", num_classes=10, in_channels=1)
    assert parameters(network) == 61_706 + (6 + 16 + 120)


@pytest.mark.parametrize("name", SMALLEST_OF_FAMILIES[:-1])
@pytest.mark.parametrize(("in_channels", "height", "width"), [(1, 8, 8), (4, 11, 17)])
def test_takes_other_images(name: str, in_channels: int, height: int, width: int) -> None:
    network = zoo.build(name, num_classes=3, in_channels=in_channels).eval()
    with torch.no_grad():
        assert network(torch.rand(2, in_channels, height, width)).shape == (2, 3)


def test_shuffling_alternates_the_channels_of_two_halves() -> None:
    first, second = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    out = interleave(first, second)
    assert torch.equal(out[:, 0::2], first)
    assert torch.equal(out[:, 1::2], second)


def test_lenet_names_the_smallest_image() -> None:
    with pytest.raises(InputError, match=r"12x12 or more, not 8x8"):
        zoo.build("lenet5_bn", num_classes=3)(torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize(
    "name", ["resnet20", "resnet18", "resnet50", "wrn_16_2", "vgg8_bn", "mobilenet_v2"]
)
def test_resolution_inside_follows_the_cifar_strides(name: str) -> None:
    network = zoo.build(name, num_classes=10).eval()
    sizes: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, output: sizes.append(output.shape[-1]))
    with torch.no_grad():
        network(torch.rand(1, 3, 32, 32))
    smallest = {"resnet20": 8, "wrn_16_2": 8, "vgg8_bn": 2}.get(name, 4)
    assert sizes[0] == 32
    assert min(sizes) == smallest


@pytest.mark.parametrize("name", SMALLEST_OF_FAMILIES)
def test_layers_in_place_leave_the_inputs_of_batch_norm_alone(name: str) -> None:
    network = zoo.build(name, num_classes=3).train()
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    for layer in batch_norm_layers(network).values():
        layer.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0], inputs[0] + 0)))
    images = torch.rand(4, 3, IMAGE_SIZE, IMAGE_SIZE, requires_grad=True)
    network(images).sum().backward()
    assert len(seen) == len(batch_norm_layers(network))
    assert all(torch.equal(kept, copy) for kept, copy in seen)
    assert images.grad is not None
    assert images.grad.isfinite().all()


@pytest.mark.parametrize("name", SMALLEST_OF_FAMILIES)
def test_channels_last_stays_and_changes_nothing(name: str) -> None:
    network = zoo.build(name, num_classes=3).eval()
    images = torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    layers = list(batch_norm_layers(network).values())
    kept: list[bool] = []
    with torch.no_grad():
        expected = network(images)
        for layer in layers:
            layer.register_forward_hook(
                lambda _, inputs, output: kept.append(
                    output.is_contiguous(memory_format=torch.channels_last)
                )
            )
        network.to(memory_format=torch.channels_last)
        logits = network(images.to(memory_format=torch.channels_last))
    assert all(kept)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_convolutions_start_with_the_variance_of_he() -> None:
    torch.manual_seed(0)
    network = zoo.build("mobilenet_v2", num_classes=10)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 5000:
            inputs = layer.weight[0].numel()
            assert layer.weight.var().item() == pytest.approx(2 / inputs, rel=0.1)
    head = penultimate_layer(network)
    assert head.weight.var().item() == pytest.approx(1 / 1280, rel=0.1)
    assert not head.bias.any()


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="resnet20"):
        zoo.build("resnet-20", num_classes=10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes must be a whole number of 2 or more, not 0"),
        ({"num_classes": 1}, "not 1"),
        ({"num_classes": 2.0}, "not 2.0"),
        ({"num_classes": True}, "not True"),
        ({"num_classes": 2, "in_channels": 0}, "in_channels must be a whole number of 1 or more"),
    ],
)
def test_counts_out_of_range_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        zoo.build("resnet8", **arguments)


def test_every_network_has_a_line_of_its_own() -> None:
    lines = zoo.describe()
    assert list(lines) == zoo.names()
    distinct = {line for name, line in lines.items()}
    assert len(distinct) == len(lines)
    assert all(20 < len(line) < 90 for line in lines.values())


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from bequest.nn import presets, zoo; zoo.describe(); presets.PRESETS;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
