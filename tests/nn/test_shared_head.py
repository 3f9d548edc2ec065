"""The student behind its teacher's classifier: the pass, the shapes, the way through a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.feature_map import find_feature_map
from bequest.nn.normalize import Normalized
from bequest.nn.shared_head import Projector, SharedHeadStudent, as_saved, share_head
from bequest.nn.weights import load_weights, read_weights, save_weights

SIZE = (1, 16, 16)


def build(name: str, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return zoo.build(name, num_classes=5, in_channels=1)


def shared(student: nn.Module, teacher: nn.Module, factor: int = 2) -> SharedHeadStudent:
    taught = find_feature_map(teacher, image_size=SIZE, exact=True)
    return share_head(student, teacher, taught=taught, image_size=SIZE, factor=factor)


def test_the_pass_by_hand() -> None:
    student, teacher = build("convnet4").eval(), build("convnet8", 1).eval()
    model = shared(student, teacher).eval()
    images = torch.rand(2, *SIZE)
    answer = model.answer(images)
    features = student.features(images)
    x = features
    for place in (0, 3, 6):
        weight, norm = model.projector[place].weight, model.projector[place + 1]
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        x = F.relu((x - norm.running_mean.view(1, -1, 1, 1)) / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(answer.features, features)
    torch.testing.assert_close(answer.projected, x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        answer.logits, teacher.classifier(x.mean((2, 3))), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(answer.own_logits, student(images))
    torch.testing.assert_close(model(images), answer.logits)


def test_shapes_of_the_projector() -> None:
    widths = [tuple(c.weight.shape) for c in Projector(8, 20, factor=2) if isinstance(c, nn.Conv2d)]
    assert widths == [(10, 8, 1, 1), (10, 10, 3, 3), (20, 10, 1, 1)]
    # ResNet-18 to 34 (512 to 512): 0.85 million parameters.
    assert sum(p.numel() for p in Projector(512, 512).parameters()) == pytest.approx(
        0.85e6, rel=0.01
    )


def test_the_larger_map_is_pooled() -> None:
    # A ResNet-8 keeps 4x4 of 16x16, a VGG-8 less.
    small, large = build("vgg8_bn"), build("resnet8")
    ends = find_feature_map(small, image_size=SIZE, exact=True).size
    for student, teacher in ((large, small), (small, large)):
        model = shared(student, teacher)
        assert model.pooled_size == ends
        assert model.answer(torch.rand(2, *SIZE)).projected.shape[-2:] == ends


def test_the_classifier_is_a_copy_that_takes_no_gradient() -> None:
    student, teacher = build("convnet4"), build("convnet8", 1)
    model = shared(student, teacher)
    model(torch.rand(4, *SIZE)).sum().backward()
    assert model.head.weight.grad is None
    assert model.head.weight is not teacher.classifier.weight
    assert torch.equal(model.head.weight, teacher.classifier.weight)
    assert teacher.classifier.weight.requires_grad
    assert student.classifier.weight.grad is None  # its own is unused
    assert student.features[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("normalized", [False, True])
def test_a_file_of_weights_says_what_to_build(
    tmp_path: Path, factor: int, normalized: bool
) -> None:
    student, teacher = build("convnet4"), build("resnet8", 1)
    given = Normalized(student, [0.3], [0.4]) if normalized else student
    model = shared(given, teacher, factor).train()
    model(torch.rand(8, *SIZE))
    model.eval()
    deployed = model.deployed()
    assert isinstance(deployed, Normalized) == normalized
    images = torch.rand(2, *SIZE)
    torch.testing.assert_close(deployed(images), model(images))
    save_weights(deployed, tmp_path / "model.safetensors")
    weights = read_weights(tmp_path / "model.safetensors")
    again = as_saved(build("convnet4", 7), weights, image_size=SIZE)
    load_weights(again, tmp_path / "model.safetensors")
    again.eval()
    inputs = (images - 0.3) / 0.4 if normalized else images
    torch.testing.assert_close(again(inputs), model(images))


def test_other_weights_leave_the_network_as_it_is() -> None:
    network = build("convnet4")
    assert as_saved(network, network.state_dict(), image_size=SIZE) is network
    torn = {
        name: value
        for name, value in shared(network, build("convnet8")).state_dict().items()
        if name != "head.weight"
    }
    with pytest.raises(InputError, match=r"lack 'head\.weight'"):
        as_saved(network, torn, image_size=SIZE)
