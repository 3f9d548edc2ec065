"""Public weights, on files of the test's own."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from bequest import data
from bequest.data import catalog, download
from bequest.errors import InputError
from bequest.nn import zoo


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A network with weights of its own, and an empty cache folder."""
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return zoo.build("resnet20", num_classes=10).eval()


def outputs(network):
    with torch.inference_mode():
        return network(torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32))


def test_from_the_collected_file(trained, tmp_path):
    arrays = {f"resnet20/{name}": value.numpy() for name, value in trained.state_dict().items()}
    np.savez(tmp_path / "cache" / "cifar10_resnets.npz", **arrays, **{"resnet56/x": np.zeros(1)})
    before = torch.get_rng_state()
    network = data.public_network("resnet20")
    assert torch.equal(outputs(network), outputs(trained))
    assert not network.training
    assert torch.equal(torch.get_rng_state(), before)


def test_from_the_published_file(trained, tmp_path, monkeypatch):
    known = catalog.NETWORKS["resnet20"]
    published = tmp_path / known.file.name
    weights = {f"module.{name}": value for name, value in trained.state_dict().items()}
    torch.save({"state_dict": weights, "best_prec1": 91.7}, published)
    digest = f"sha256:{hashlib.sha256(published.read_bytes()).hexdigest()}"
    file = replace(known.file, urls=(published.as_uri(),), digest=digest)
    monkeypatch.setitem(catalog.NETWORKS, "resnet20", replace(known, file=file))
    network = data.public_network("resnet20")
    assert torch.equal(outputs(network), outputs(trained))
    assert (tmp_path / "cache" / "networks" / known.file.name).is_file()


def test_another_file_under_the_published_name_is_refused(trained, tmp_path, monkeypatch):
    known = catalog.NETWORKS["resnet20"]
    other = tmp_path / known.file.name
    torch.save(trained.state_dict(), other)
    file = replace(known.file, urls=(other.as_uri(),))
    monkeypatch.setitem(catalog.NETWORKS, "resnet20", replace(known, file=file))
    with pytest.raises(InputError, match=r"not the file that was published.*\n.*by hand"):
        data.public_network("resnet20")


def test_missing_weights_say_where_to_get_them(trained, tmp_path, monkeypatch):
    def refuse(request):
        raise OSError("no network")

    monkeypatch.setattr(download, "_open", refuse)
    with pytest.raises(InputError) as caught:
        data.public_network("resnet56")
    message = str(caught.value)
    for expected in (
        "no network",
        catalog.NETWORKS["resnet56"].file.urls[0],
        str(tmp_path / "cache" / "cifar10_resnets.npz"),
        str(tmp_path / "cache" / "networks"),
    ):
        assert expected in message


def test_unknown_network_gets_a_suggestion():
    with pytest.raises(InputError, match="Did you mean resnet"):
        data.public_network("resnet57")


def test_normalisation_is_not_that_of_the_data():
    assert data.PUBLIC_NORMALIZATION == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
