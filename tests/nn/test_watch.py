"""Watching networks: the right layers, copies that nothing changes, gradients, pairs of stages."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.normalize import Normalized
from bequest.nn.stages import matching_taps, own_name, part_of
from bequest.nn.watch import Watch, WatchShared, WatchTeacher


def network(name: str, channels: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return zoo.build(name, num_classes=10, in_channels=channels)


def test_what_is_watched_is_what_the_layers_give() -> None:
    resnet = network("resnet8").eval()
    images = torch.rand(2, 3, 32, 32)
    seen = Watch(resnet, taps=["layer2", "layer3"], features=True)(images)
    stem = F.relu(resnet.bn1(resnet.conv1(images)))
    second = resnet.layer2(resnet.layer1(stem))
    third = resnet.layer3(second)
    pooled = third.mean((2, 3))
    for given, expected in zip(
        seen.tensors(), (resnet.linear(pooled), pooled, second, third), strict=True
    ):
        assert torch.allclose(given, expected, atol=1e-5)
    assert not resnet.layer2._forward_hooks
    assert not resnet.linear._forward_pre_hooks


def test_layers_in_place_change_no_map_and_gradients_pass_the_copy() -> None:
    chain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(72, 3))
    images = torch.rand(2, 1, 8, 8, requires_grad=True)
    seen = Watch(chain, taps=["0"])(images)
    assert (seen.maps[0] < 0).any()
    seen.maps[0].sum().backward()
    assert chain[0].weight.grad is not None
    assert images.grad is not None


def test_names_are_those_of_the_network_inside_its_normalisation() -> None:
    resnet = network("resnet8").eval()
    wrapped = Normalized(resnet, (0.5,), (0.25,))
    images = torch.rand(2, 3, 32, 32)
    seen = Watch(wrapped, taps=["layer1"])(images)
    plain = Watch(resnet, taps=["layer1"])((images - 0.5) / 0.25)
    assert torch.equal(seen.maps[0], plain.maps[0])
    assert own_name(wrapped, "network.layer1") == "layer1"
    with pytest.raises(InputError, match="Did you mean layer1"):
        Watch(wrapped, taps=["layer11"])


def test_a_teacher_takes_no_gradient_and_must_not_be_in_training_mode() -> None:
    teacher = network("convnet4", 1)
    watch = WatchTeacher(teacher, features=True)
    with pytest.raises(InputError, match=r"training mode.*call teacher.eval\(\)"):
        watch(torch.rand(2, 1, 8, 8))
    teacher.eval()
    seen = watch(torch.rand(2, 1, 8, 8))
    assert not any(t.requires_grad for t in seen.tensors())


@pytest.mark.parametrize(
    ("student", "teacher", "size", "expected"),
    [
        ("resnet20", "resnet56", 32, (("layer1", "layer2", "layer3"),) * 2),
        ("convnet4", "convnet16", 28, (("features.2", "features.8", "features"),) * 2),
        (
            "resnet8",
            "vgg8_bn",
            32,
            (("layer1", "layer2", "layer3"), ("features.2", "features.6", "features.10")),
        ),
    ],
)
def test_stages_of_one_resolution_are_paired(
    student: str, teacher: str, size: int, expected: tuple[tuple[str, ...], ...]
) -> None:
    channels = 1 if student.startswith("convnet") else 3
    pair = network(student, channels), network(teacher, channels)
    ours, theirs = matching_taps(*pair, image_size=(channels, size, size))
    assert ours == expected[0]
    images = torch.rand(2, channels, size, size)
    maps = [Watch(n, taps=names)(images).maps for n, names in zip(pair, (ours, theirs))]
    assert [m.shape[2:] for m in maps[0]] == [m.shape[2:] for m in maps[1]]
    if teacher != "vgg8_bn":
        assert theirs == expected[1]


def test_every_network_of_the_zoo_meets_every_other_resolution_or_depth() -> None:
    for name in ("wrn_16_1", "mobilenet_v2", "shufflenet_v2", "vgg8_bn", "resnet18"):
        ours, theirs = matching_taps(network(name), network("resnet8"), image_size=(3, 32, 32))
        assert len(ours) == len(theirs) >= 1


def test_given_taps_stay_and_the_other_side_follows() -> None:
    pair = network("resnet8"), network("resnet14")
    given = {"image_size": (3, 32, 32)}
    assert matching_taps(*pair, **given, teacher_taps=["layer2.0"]) == (("layer2",), ("layer2.0",))
    assert matching_taps(*pair, **given, student_taps=["bn1"]) == (("bn1",), ("layer1",))
    both = matching_taps(*pair, **given, student_taps=["layer1"], teacher_taps=["layer3"])
    assert both == (("layer1",), ("layer3",))
    with pytest.raises(InputError, match=r"1 modules \(layer1 32x32\).*2 \(layer1 32x32, layer2"):
        matching_taps(*pair, **given, student_taps=["layer1"], teacher_taps=["layer1", "layer2"])
    with pytest.raises(InputError, match="Did you mean layer3"):
        matching_taps(*pair, **given, student_taps=["layer4"])
    with pytest.raises(InputError, match=r"is 32x32.*maps of 28x28, 14x14, 7x7"):
        lesser = nn.Sequential(nn.AdaptiveAvgPool2d(28), *list(convnet_layers()))
        matching_taps(pair[0], lesser, **given, student_taps=["layer1"])


def convnet_layers() -> list[nn.Module]:
    layers = [nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)]
    return [*layers, nn.Flatten(), nn.Linear(196, 10)]


def test_networks_without_maps_say_so() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    with pytest.raises(InputError, match="The student has no feature maps"):
        matching_taps(flat, network("resnet8"), image_size=(3, 32, 32))


def test_the_middle_and_the_last_of_taps() -> None:
    assert [part_of("abcd"[:n], "middle") for n in (1, 2, 3, 4)] == [
        ("a",), ("a",), ("b",), ("b",)
    ]  # fmt: skip
    assert part_of("abc", "last") == ("c",)
    assert part_of("abc", "all") == ("a", "b", "c")


def test_a_shared_head_gives_maps_of_one_shape() -> None:
    teacher = network("convnet8", 1).eval()
    shared = WatchShared(network("convnet4", 1), teacher, image_size=(1, 8, 8))
    images = torch.rand(2, 1, 8, 8)
    ours, theirs = shared(images), shared.teacher(images)
    assert ours.maps[0].shape == theirs.maps[0].shape
    assert torch.equal(theirs.logits, teacher(images))
    teacher.train()
    with pytest.raises(InputError, match="training mode"):
        shared.teacher(images)
