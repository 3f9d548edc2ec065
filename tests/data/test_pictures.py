"""Pictures of packages and of archives that the test writes, and the real sets."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bequest.data import pictures
from bequest.data.pictures import (
    PictureData,
    middles,
    package_note,
    package_pictures,
    patches,
    reconstruction_pictures,
)
from bequest.errors import InputError

FOLDER = Path(os.environ.get("BEQUEST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
ARCHIVE = "bsd_set12_mri_ct.tar"


def png(value: int, shape: tuple[int, int] = (4, 6)) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full(shape, value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write(folder: Path, contents: dict[str, bytes], *, archive: bool) -> None:
    if not archive:
        for name, content in contents.items():
            path = folder / "convex_ridge_regularizers/training/data/images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return
    with tarfile.open(folder / ARCHIVE, "w") as opened:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))


def test_default_pictures_come_from_packages_and_are_apart() -> None:
    data = package_pictures(shrink=4)
    assert ("scikit-image" in package_note()) == data.name.startswith("scikit-image")
    prints = [
        {p.float().mean().item() for p in getattr(data, part)}
        for part in ("train", "validation", "test")
    ]
    assert not prints[0] & prints[1]
    assert not (prints[0] | prints[1]) & prints[2]
    assert min(min(p.shape) for p in data.test) >= 32


def test_without_scikit_image_other_packages_serve() -> None:
    data = pictures._of_packages(4, False)
    assert [len(data.train), len(data.validation), len(data.test)] == [2, 1, 1]


@pytest.mark.parametrize("archive", [True, False])
def test_a_set_without_validation_holds_some_back(
    archive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    names = {f"CT/train/{k}.png": png(k) for k in range(6)}
    write(tmp_path, names | {"CT/validation/a.png": png(99)}, archive=archive)
    data = reconstruction_pictures("ct-phantoms", shrink=2)
    assert [int(p[0, 0]) for p in data.train] == [0, 1]
    assert [int(p[0, 0]) for p in data.validation] == [2, 3, 4, 5]
    assert [int(p[0, 0]) for p in data.test] == [99]
    assert data.test[0].shape == (2, 3)
    with pytest.raises(InputError, match="no pictures in BSD/train"):
        reconstruction_pictures("bsd68")


def test_what_is_missing_or_damaged_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="axgoujon/convex_ridge_regularizers"):
        reconstruction_pictures("bsd68")
    (tmp_path / ARCHIVE).write_bytes(b"torn")
    with pytest.raises(InputError, match="cannot be read"):
        reconstruction_pictures("bsd68")
    write(tmp_path, {"BSD/train/a.png": b"no picture"}, archive=True)
    with pytest.raises(InputError, match="is no picture"):
        reconstruction_pictures("bsd68", shrink=3)
    with pytest.raises(InputError, match="must be uint8"):
        PictureData(name="x", train=(), validation=(), test=(), licence="", source="")


def test_patches_and_middles_are_cut_where_they_should() -> None:
    picture = torch.arange(35, dtype=torch.uint8).view(5, 7)
    cut = patches((picture,), side=3, stride=2)
    assert cut.shape == (6, 1, 3, 3)
    assert torch.equal(cut[4, 0], picture[2:5, 2:5])
    assert torch.equal(middles((picture,), side=3)[0, 0], picture[1:4, 2:5])
    with pytest.raises(InputError, match="A picture is 5 pixels"):
        patches((picture,), side=6, stride=1)
    with pytest.raises(InputError, match="A picture is 5 pixels"):
        middles((picture,), side=6)


@pytest.mark.skipif(
    not (FOLDER / ARCHIVE).is_file(), reason=f"{ARCHIVE} is not in the folder BEQUEST_SHARED_DATA"
)
def test_the_real_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEQUEST_CACHE", str(FOLDER))
    counts = {"bsd68": (300, 12, 68), "mri-knee": (71, 4, 20), "ct-phantoms": (20, 4, 6)}
    for name, expected in counts.items():
        data = reconstruction_pictures(name, shrink=4)
        assert (len(data.train), len(data.validation), len(data.test)) == expected
