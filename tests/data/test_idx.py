"""Idx files, on files that the test writes."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace

import pytest
import torch

from bequest import data
from bequest.data import catalog, presence
from bequest.data.idx import read_idx, read_pair
from bequest.errors import InputError


def packed(values, *shape, kind=8):
    header = bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return header + bytes(values)


def test_values_and_order(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(packed(range(12), 2, 2, 3))
    assert torch.equal(read_idx(path), torch.arange(12, dtype=torch.uint8).view(2, 2, 3))


def test_packed_file_reads_as_the_plain_one(tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(packed([3, 1, 4], 3)))
    assert read_idx(path).tolist() == [3, 1, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed(range(11), 2, 2, 3), "says 2 x 2 x 3 values, 28 bytes in all, but has 27"),
        (packed(range(13), 2, 2, 3), "has 29"),
        (packed([1], 1)[:6], "cut short in its header"),
        (packed([], kind=8), "cut short in its header"),
        (packed([1, 2, 3, 4], 1, kind=0x0D), "begins with 00 00 0d"),
        (b"<html>404</html>", "no idx file of bytes"),
        (b"", "begins with nothing"),
    ],
)
def test_damaged_file_is_refused(tmp_path, content, message):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_idx(path)


@pytest.mark.parametrize("cut", [5, 20, 30])
def test_packed_file_cut_short_is_refused(tmp_path, cut):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(packed(range(100), 100))[:cut])
    with pytest.raises(InputError, match="missing, damaged or cut short"):
        read_idx(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nothing-here"):
        read_idx(tmp_path / "nothing-here")


def test_images_and_labels_must_belong_together(tmp_path):
    (tmp_path / "images").write_bytes(packed(range(8), 2, 2, 2))
    (tmp_path / "labels").write_bytes(packed([0, 1, 2], 3))
    with pytest.raises(InputError, match=r"\(2, 2, 2\).*\(3,\)"):
        read_pair(tmp_path / "images", tmp_path / "labels")


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """A data set 'mnist' of 3 + 2 images of 2x2 in a cache folder, one file of them packed."""
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    monkeypatch.setattr(presence, "_DEBIAN", tmp_path / "not-installed")
    tiny = replace(catalog.DATA["mnist"], image_size=(1, 2, 2), train=3, test=2)
    monkeypatch.setitem(catalog.DATA, "mnist", tiny)
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(packed(range(12), 3, 2, 2))
    (folder / "train-labels-idx1-ubyte").write_bytes(packed([9, 0, 4], 3))
    images = gzip.compress(packed(range(100, 108), 2, 2, 2))
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(images)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(packed([1, 2], 2))
    return folder


def test_load_finds_plain_and_packed_files(tiny_mnist):
    images = data.load("mnist")
    assert images.train_images.flatten().tolist() == list(range(12))
    assert images.train_labels.tolist() == [9, 0, 4]
    assert images.test_images.flatten().tolist() == list(range(100, 108))
    assert images.test_labels.tolist() == [1, 2]


def test_a_part_of_the_set_is_refused(tiny_mnist):
    (tiny_mnist / "train-images-idx3-ubyte").write_bytes(packed(range(8), 2, 2, 2))
    (tiny_mnist / "train-labels-idx1-ubyte").write_bytes(packed([9, 0], 2))
    with pytest.raises(InputError, match=r"hold \(2, 1, 2, 2\) training .* has \(3, 1, 2, 2\)"):
        data.load("mnist")


def test_set_installed_with_the_system_is_found(tiny_mnist, monkeypatch):
    monkeypatch.setattr(presence, "_DEBIAN", tiny_mnist.parent / "system")
    (tiny_mnist.parent / "system").mkdir()
    place = tiny_mnist.rename(tiny_mnist.parent / "system" / "mnist")
    files = presence.find(catalog.DATA["mnist"], tiny_mnist.parent)
    assert {file.parent for file in files} == {place}
