"""Networks of timm and torchvision, beside the newest torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bequest.errors import InputError
from bequest.nn.load import load_network, save_weights

pytestmark = pytest.mark.extras

NETWORKS = [
    ("timm:resnet18", (3, 32, 32)),
    ("timm:resnet18", (1, 32, 32)),
    ("timm:vit_tiny_patch16_224", (3, 32, 32)),
    ("torchvision:mobilenet_v3_small", (3, 64, 64)),
    ("torchvision:resnet18", (3, 32, 32)),
]


@pytest.mark.parametrize(("spec", "size"), NETWORKS)
def test_a_network_takes_the_images_it_was_asked_for(spec: str, size: tuple[int, int, int]) -> None:
    network = load_network(spec, num_classes=7, in_channels=size[0], image_size=size).eval()
    logits = network(torch.rand(2, *size))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize("spec", ["timm:resnet18", "torchvision:resnet18"])
def test_weights_of_ones_own_are_put_in(spec: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = load_network(spec, num_classes=3).eval()
    save_weights(first, tmp_path / "weights.safetensors")
    torch.manual_seed(1)
    other = load_network(spec, num_classes=3).eval()
    again = load_network(spec, num_classes=3, weights=tmp_path / "weights.safetensors").eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(again(images), first(images))
        assert not torch.equal(other(images), first(images))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:resnet81", "There is no timm network 'resnet81'. Did you mean .*resnet"),
        ("torchvision:resnet81", "There is no torchvision network 'resnet81'.*resnet18"),
    ],
)
def test_unknown_names_get_a_suggestion(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_network(spec, num_classes=3)


def test_torchvision_has_colour_images_only() -> None:
    with pytest.raises(InputError, match="takes 3 image channels, not 1"):
        load_network("torchvision:resnet18", num_classes=3, in_channels=1)


def test_public_weights_of_another_class_count_are_refused_before_a_download() -> None:
    for spec in ("timm:resnet18", "torchvision:resnet18"):
        with pytest.raises(InputError, match="1000 classes, not 10"):
            load_network(spec, num_classes=10, pretrained=True)
