"""Tiny-ImageNet out of an archive made here, and what is refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bequest.data.tiny_imagenet import read_tiny_imagenet
from bequest.errors import InputError


def archive(path: Path, files: dict[str, int], *, side: int = 64) -> Path:
    with tarfile.open(path, "w") as packed:
        for name, level in files.items():
            content = io.BytesIO()
            mode = "L" if level > 128 else "RGB"
            Image.new(mode, (side, side), level if mode == "L" else (level,) * 3).save(
                content, "JPEG"
            )
            entry = tarfile.TarInfo(name)
            entry.size = len(content.getvalue())
            packed.addfile(entry, io.BytesIO(content.getvalue()))
    return path


def test_classes_are_folders_and_grey_pictures_get_three_channels(tmp_path: Path) -> None:
    files = {
        "train/n02/n02_1.JPEG": 10,
        "train/n01/n01_0.JPEG": 200,
        "val/n02/val_7.JPEG": 30,
        "val/n01/val_3.JPEG": 40,
    }
    images = read_tiny_imagenet(archive(tmp_path / "a.tar", files))
    assert images.class_names == ("n01", "n02")
    assert images.train_images.shape == (2, 3, 64, 64)
    assert images.train_labels.tolist() == [0, 1]
    assert images.test_labels.tolist() == [0, 1]
    levels = images.train_images.float().mean((1, 2, 3)).numpy()
    assert np.allclose(levels, [200, 10], atol=1)


def test_what_is_missing_or_of_another_size_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="BEQUEST_CACHE"):
        read_tiny_imagenet(tmp_path / "none.tar")
    with pytest.raises(InputError, match="val/CLASS"):
        read_tiny_imagenet(archive(tmp_path / "b.tar", {"train/n01/n01_0.JPEG": 1}))
    other = archive(tmp_path / "c.tar", {"train/n01/n01_0.JPEG": 1, "val/n01/v.JPEG": 1}, side=32)
    with pytest.raises(InputError, match=r"32, 32.*64x64"):
        read_tiny_imagenet(other)
