"""A pool from anywhere: sizes, modes, damage, archives, data sets."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bequest.data import load
from bequest.data.pool import load_pool
from bequest.errors import InputError

SIZE = (3, 8, 8)
GREY = (1, 8, 8)


def pixels(height: int, width: int, channels: int) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of many sizes and modes at several depths, and things that are no pictures."""
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    Image.fromarray(pixels(8, 8, 3)).save(tmp_path / "a_exact.png")
    Image.fromarray(pixels(30, 17, 3)).save(tmp_path / "b_photo.JPG", format="JPEG")
    Image.fromarray(pixels(5, 9, 1)).save(tmp_path / "deep" / "c_grey.bmp")
    Image.fromarray(pixels(12, 12, 4), "RGBA").save(tmp_path / "deep" / "d_alpha.png")
    Image.fromarray(pixels(9, 9, 3)).convert("P").save(tmp_path / "deep" / "deeper" / "e.gif")
    Image.fromarray(pixels(9, 9, 1)).convert("1").save(tmp_path / "f_bits.tif")
    Image.fromarray(pixels(9, 9, 1).astype(np.uint16) * 257).save(tmp_path / "g_deep.png")
    Image.fromarray(pixels(9, 9, 3)).convert("CMYK").save(tmp_path / "h_print.jpg")
    (tmp_path / "words.txt").write_text("no picture", encoding="utf-8")
    (tmp_path / ".hidden.png").write_bytes(b"nothing")
    return tmp_path


@pytest.mark.parametrize("size", [SIZE, GREY])
def test_any_size_and_mode(folder: Path, size: tuple[int, int, int]) -> None:
    pool = load_pool(folder, image_size=size)
    assert pool.images.shape == (8, *size)
    assert pool.images.dtype == torch.uint8
    assert pool.skipped == ()


def test_a_picture_that_fits_stays_as_it_is(folder: Path) -> None:
    exact = load_pool(str(folder), image_size=SIZE).images[0]
    assert np.array_equal(exact.permute(1, 2, 0).numpy(), pixels(8, 8, 3))


def test_sixteen_bits_are_scaled_and_not_cut(tmp_path: Path) -> None:
    Image.fromarray(pixels(8, 8, 1).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    read = load_pool(tmp_path, image_size=GREY).images[0, 0].numpy()
    assert np.abs(read.astype(int) - pixels(8, 8, 1)).max() <= 1


def test_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    assert (load_pool(tmp_path, image_size=SIZE).images == 255).all()


def test_damaged_files_are_skipped_and_counted(folder: Path) -> None:
    (folder / "torn.png").write_bytes((folder / "a_exact.png").read_bytes()[:60])
    (folder / "text.jpg").write_text("no picture", encoding="utf-8")
    pool = load_pool(folder, image_size=SIZE)
    assert len(pool.images) == 8
    assert sorted(Path(line.split(" (")[0]).name for line in pool.skipped) == [
        "text.jpg",
        "torn.png",
    ]


def test_an_archive_is_read_like_its_folder(folder: Path, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("archive") / "pictures.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname="pictures")
    pool = load_pool(path, image_size=SIZE)
    assert torch.equal(pool.images, load_pool(folder, image_size=SIZE).images)


def test_a_data_set_by_name_in_another_size() -> None:
    digits = load("digits").train_images
    pool = load_pool("digits", image_size=(3, 16, 16))
    assert pool.images.shape == (len(digits), 3, 16, 16)
    assert torch.equal(pool.images[:, 0], pool.images[:, 2])
    assert torch.equal(load_pool("digits", image_size=GREY).images, digits)
    small = pool.images[:, :1].float().unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5))
    assert (small - digits).abs().mean() < 12  # enlarged, it still shows the same


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path / "nowhere", "There is no folder"),
        (lambda path: path, "holds no picture"),
        (lambda path: "digitz", "Did you mean digits"),
    ],
)
def test_nothing_there(tmp_path: Path, make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_pool(make(tmp_path), image_size=SIZE)


def test_only_damaged_files_are_an_error(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"(?s)None of the 2 pictures .* can be read.*a\.png"):
        load_pool(tmp_path, image_size=SIZE)
    with pytest.raises(InputError, match="neither a folder nor"):
        load_pool(tmp_path / "a.png", image_size=SIZE)


def test_other_numbers_of_channels_are_for_tensors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 or 3 channels"):
        load_pool(tmp_path, image_size=(4, 8, 8))
