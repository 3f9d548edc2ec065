from __future__ import annotations

import json
import pickle

import pytest
import torch

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.narrow import (
    RECORD,
    load_pruned,
    narrow,
    narrowed,
    read_record,
    write_record,
)
from bequest.nn.pruning import prune_backbone
from bequest.nn.taps import layout
from bequest.nn.weights import save_weights

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def build(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return zoo.build(name, num_classes=10).eval()


@pytest.fixture
def folder(tmp_path, request):
    """What a run leaves; the network itself is `folder.pruned`."""
    pytest.importorskip("torch_pruning", reason="torch-pruning is in bequest[compress]")
    network = build(getattr(request, "param", "resnet8"))
    pruned, report = prune_backbone(
        network, IMAGES, layout(network, IMAGES), sparsity=0.6, rule="uniform", min_channels=2
    )
    known = {"network": getattr(request, "param", "resnet8"), "num_classes": 10}
    write_record(tmp_path / RECORD, report.layers, **known, image_size=[3, 32, 32])
    save_weights(pruned, tmp_path / "model.safetensors")
    return tmp_path, pruned


@pytest.mark.parametrize("folder", ["resnet8", "vgg8_bn", "mobilenet_v2"], indirect=True)
def test_what_was_pruned_comes_back_without_unpickling(folder, monkeypatch):
    path, pruned = folder

    def refuse(*arguments, **options):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    with torch.no_grad():
        assert torch.equal(load_pruned(path)(IMAGES), pruned(IMAGES))


def test_a_network_of_ones_own_is_cut_in_place(folder):
    path, pruned = folder
    own = build("resnet8")
    assert load_pruned(path, own) is own
    assert own.layer1[0].conv1.out_channels == pruned.layer1[0].conv1.out_channels == 7
    assert narrowed(build("resnet8"), own) == read_record(path / RECORD)["layers"]


def test_a_record_names_changed_layers_only(folder):
    layers = read_record(folder[0] / RECORD)["layers"]
    assert layers["layer1.0.bn1"] == {"num_features": 7}
    assert layers["layer1.0.conv2"] == {"in_channels": 7, "out_channels": 16, "groups": 1}
    assert "conv1" not in layers


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"layer9.conv": {"num_features": 3}}, "belongs to another network"),
        ({"bn1": {"out_channels": 3}}, "belongs to another network"),
        ({"bn1": {"num_features": 17}}, "1 to 16 are possible"),
        ({"bn1": {"num_features": 0}}, "1 to 16 are possible"),
        ({"bn1": {"num_features": "3"}}, "1 to 16 are possible"),
        ({"bn1": {"num_features": True}}, "1 to 16 are possible"),
    ],
)
def test_a_record_of_another_network_is_refused(layers, message):
    with pytest.raises(InputError, match=message):
        narrow(build("resnet8"), layers)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no readable architecture record"),
        ("[]", "lists no layers"),
        ('{"version": 1, "layers": {"a": 3}}', "lists no layers"),
        ('{"version": 9, "layers": {}}', "of version 9"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, content, message):
    (tmp_path / RECORD).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_record(tmp_path / RECORD)


def test_a_record_without_its_network_asks_for_it(folder):
    path, _ = folder
    record = read_record(path / RECORD)
    write_record(path / RECORD, record["layers"])
    with pytest.raises(InputError, match="give the unpruned network"):
        load_pruned(path)
    load_pruned(path, build("resnet8"))


def test_weights_must_fit_the_record(folder):
    path, _ = folder
    record = json.loads((path / RECORD).read_text(encoding="utf-8"))
    del record["layers"]["layer1.0.conv1"]
    (path / RECORD).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=r"layer1\.0\.conv1\.weight"):
        load_pruned(path)
