"""Networks from names."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.load import load_network, save_weights

CODE = """
import torch
from torch import nn

calls = []
constant = 3

def plain(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes))

def channels(num_classes, in_chans, image_size=None, pretrained=False):
    calls.append((num_classes, in_chans, image_size, pretrained))
    return plain(num_classes)

def anything(**options):
    calls.append(options)
    return plain(options["num_classes"])

def nothing():
    return plain(5)

def broken(num_classes):
    raise OSError("no such luck")

def wrong(num_classes):
    return num_classes

class Family:
    @staticmethod
    def member(*, num_classes, in_channels):
        calls.append((num_classes, in_channels))
        return plain(num_classes)
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the current folder, which is not on Python's path."""
    (tmp_path / "handmade_networks.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "handmade_networks", raising=False)
    yield "handmade_networks"
    sys.modules.pop("handmade_networks", None)


def test_a_zoo_network_with_weights_is_the_saved_one(tmp_path: Path) -> None:
    network = zoo.build("convnet4", num_classes=3, in_channels=1)
    save_weights(network, tmp_path / "teacher.safetensors")
    loaded = load_network(
        "convnet4",
        num_classes=3,
        in_channels=1,
        image_size=(1, 8, 8),
        weights=tmp_path / "teacher.safetensors",
    )
    images = torch.rand(2, 1, 8, 8)
    assert loaded.training
    assert torch.equal(loaded.eval()(images), network.eval()(images))


def test_an_unknown_name_suggests_and_weights_are_no_network(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="resnet18"):
        load_network("resnet-18", num_classes=3)
    with pytest.raises(InputError, match="holds weights, but not the network"):
        load_network(tmp_path / "teacher.pth", num_classes=3)


def test_contradictions_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    with pytest.raises(InputError, match="not both"):
        load_network("convnet4", num_classes=3, weights=weights, pretrained=True)
    with pytest.raises(InputError, match="without public weights"):
        load_network("convnet4", num_classes=3, pretrained=True)
    with pytest.raises(InputError, match="image_size says 1 channels, in_channels 3"):
        load_network("convnet4", num_classes=3, image_size=(1, 8, 8))
    with pytest.raises(InputError, match="num_classes must be"):
        load_network("timm:resnet18", num_classes=0)
    with pytest.raises(InputError, match="brings its own weights"):
        load_network("teacher.pt2", num_classes=3, weights=weights)


def test_an_image_size_is_tried_at_once() -> None:
    with pytest.raises(InputError, match=r"lenet5_bn cannot take two images of 3x8x8.*12x12"):
        load_network("lenet5_bn", num_classes=3, image_size=(3, 8, 8))


def test_a_callable_gets_what_its_signature_takes(code: str) -> None:
    arguments = {"num_classes": 4, "in_channels": 3, "image_size": (3, 2, 2)}
    path = list(sys.path)
    for name in ("plain", "channels", "anything", "Family.member"):
        assert load_network(f"{code}:{name}", **arguments)(torch.rand(2, 3, 2, 2)).shape == (2, 4)
    load_network(f"{code}:channels", num_classes=4, in_channels=3, pretrained=True)
    assert sys.modules[code].calls == [
        (4, 3, (3, 2, 2), False),
        {"num_classes": 4},
        (4, 3),
        (4, 3, None, True),
    ]
    assert sys.path == path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", r"shape \(2, 5\), not \(2, 4\)"),
        ("broken", r"cannot be built \(OSError: no such luck\)"),
        ("wrong", r"gave a int, not a torch\.nn\.Module"),
        ("constant", "is a int, not something to call"),
        ("plane", "Did you mean plain"),
        ("Family.members", "Did you mean member"),
    ],
)
def test_a_callable_that_does_not_work_is_named(code: str, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_network(f"{code}:{name}", num_classes=4, image_size=(3, 2, 2))


def test_a_module_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(InputError, match=r"ModuleNotFoundError.*handmade_nowhere"):
        load_network("handmade_nowhere:build", num_classes=4)


def test_pretrained_needs_a_callable_that_takes_it(code: str) -> None:
    with pytest.raises(InputError, match="takes no 'pretrained'"):
        load_network(f"{code}:plain", num_classes=4, pretrained=True)


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_any_failure_to_import_a_library_is_named(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a torchvision for another torch does.
    text = "raise RuntimeError('operator torchvision::nms does not exist')"
    (tmp_path / f"{package}.py").write_text(text)
    for name in [key for key in sys.modules if key.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError) as caught:
        load_network(f"{package}:resnet18", num_classes=3)
    message = str(caught.value)
    assert f"{package} cannot be imported" in message
    assert "RuntimeError: operator torchvision::nms does not exist" in message
    assert 'pip install "bequest[vision]"' in message


def test_timm_transformers_get_the_image_size(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, object]] = []

    def create_model(name: str, **options: object) -> nn.Module:
        calls.append(options)
        if name == "conv" and "img_size" in options:
            raise TypeError("Conv.__init__() got an unexpected keyword argument 'img_size'")
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 4))

    fake = ModuleType("timm")
    fake.create_model = create_model
    fake.list_models = lambda: ["conv", "transformer"]
    fake.is_model = lambda name: name in fake.list_models()
    fake.get_pretrained_cfg = lambda name: type("Config", (), {"num_classes": 1000})
    monkeypatch.setitem(sys.modules, "timm", fake)
    base = {"pretrained": False, "num_classes": 4, "in_chans": 3}
    for name in ("transformer", "conv"):
        load_network(f"timm:{name}", num_classes=4, image_size=(3, 2, 2))
    assert calls == [{**base, "img_size": (2, 2)}, {**base, "img_size": (2, 2)}, base]
    with pytest.raises(InputError, match="1000 classes, not 4"):
        load_network("timm:conv", num_classes=4, pretrained=True)
    with pytest.raises(InputError, match="transformer"):
        load_network("timm:transformers", num_classes=4)


def test_the_real_timm_and_torchvision() -> None:
    for package in ("timm", "torchvision"):
        try:
            __import__(package)
        except Exception as error:
            pytest.skip(f"{package} cannot be imported here: {error}")
    images = torch.rand(2, 3, 32, 32)
    for spec in ("timm:resnet18", "torchvision:resnet18", "timm:vit_tiny_patch16_224"):
        network = load_network(spec, num_classes=5, image_size=(3, 32, 32))
        assert network.eval()(images).shape == (2, 5)
    assert load_network("timm:resnet18", num_classes=5, in_channels=1, image_size=(1, 32, 32))
    with pytest.raises(InputError, match="takes 3 image channels, not 1"):
        load_network("torchvision:resnet18", num_classes=5, in_channels=1)
    for spec in ("timm:resnet18", "torchvision:resnet18"):
        with pytest.raises(InputError, match="1000 classes, not 5"):
            load_network(spec, num_classes=5, pretrained=True)
        with pytest.raises(InputError, match="resnet18"):
            load_network(spec.replace("18", "-18"), num_classes=5)
