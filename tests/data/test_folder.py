"""Folders of pictures, made by the test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bequest import data
from bequest.data.folder import read_folder
from bequest.errors import InputError


def save(path, value, *, size=(6, 4), mode="RGB"):
    """A picture of one value; size is (width, height), as Pillow has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)
    return path


@pytest.fixture
def two_level(tmp_path):
    for part, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(("bee", "ant")):
            for number in range(count):
                value = (10 * number, 100 * label, 200 if part == "test" else 0)
                save(tmp_path / part / name / f"{number}.png", value)
    return tmp_path


def test_two_levels(two_level):
    images = data.load(f"folder:{two_level}")
    assert images.class_names == ("ant", "bee")
    assert images.image_size == (3, 4, 6)
    assert images.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert images.test_labels.tolist() == [0, 0, 1, 1]
    assert images.train_images[:, :, 0, 0].tolist() == [
        *([0, 100, 0], [10, 100, 0], [20, 100, 0]),
        *([0, 0, 0], [10, 0, 0], [20, 0, 0]),
    ]
    assert (images.test_images[:, 2] == 200).all()
    assert images.train_images.is_contiguous(memory_format=torch.channels_last)
    assert images.mean == pytest.approx([10 / 255, 50 / 255, 0], abs=1e-4)
    assert images.std == pytest.approx([(200 / 3) ** 0.5 / 255, 50 / 255, 1 / 255], abs=1e-4)
    assert not images.mirrored


def test_validation_folder_serves_as_test(two_level):
    (two_level / "test").rename(two_level / "val")
    assert len(read_folder(str(two_level)).test_labels) == 4


def test_class_without_test_pictures_keeps_its_label(two_level):
    save(two_level / "train" / "aphid" / "0.png", (0, 0, 0))
    images = read_folder(str(two_level))
    assert images.class_names == ("ant", "aphid", "bee")
    assert images.test_labels.tolist() == [0, 0, 2, 2]


def test_one_level_is_split_evenly(tmp_path):
    for name, count in (("ant", 10), ("bee", 20)):
        for number in range(count):
            save(tmp_path / name / f"{number:02}.png", (number, count, 0))
    images = read_folder(str(tmp_path))
    assert images.train_labels.bincount().tolist() == [8, 16]
    assert images.test_labels.bincount().tolist() == [2, 4]
    first = images.test_images[:, 0, 0, 0].tolist()
    assert first == [2, 7, 2, 7, 12, 17]
    assert torch.equal(images.test_images, read_folder(str(tmp_path)).test_images)


def test_grey_pictures_have_one_channel(tmp_path):
    for name in ("ant", "bee"):
        save(tmp_path / name / "0.png", 70, mode="L")
        save(tmp_path / name / "1.JPG", 70, mode="L")
    images = read_folder(str(tmp_path))
    assert images.image_size == (1, 4, 6)
    assert (images.train_images == 70).all()


def test_one_colour_picture_makes_three_channels(tmp_path):
    for name in ("ant", "bee"):
        save(tmp_path / name / "0.png", 70, mode="L")
        save(tmp_path / name / "1.png", (70, 80, 90))
    assert read_folder(str(tmp_path)).image_size[0] == 3


def test_size_cuts_around_the_centre_and_scales(tmp_path):
    # Blue ends, further from the square in the middle than the filter of the scaling reaches.
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, :, 2] = 255
    pixels[:, 4:20] = (200, 0, 0)
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "0.png")
        save(tmp_path / name / "1.png", (200, 0, 0), size=(9, 9))
    images = data.load(f"folder:{tmp_path}@4")
    assert images.image_size == (3, 4, 4)
    everything = torch.cat([images.train_images, images.test_images])
    assert (everything == torch.tensor([200, 0, 0]).view(1, 3, 1, 1)).all()
    assert data.load(f"folder:{tmp_path}@4x5").image_size == (3, 4, 5)


def test_folder_may_have_an_at_sign(tmp_path):
    for name in ("ant", "bee"):
        for number in range(2):
            save(tmp_path / "set@8" / name / f"{number}.png", (0, 0, 0))
    assert read_folder(str(tmp_path / "set@8")).image_size == (3, 4, 6)
    assert read_folder(str(tmp_path / "set@8@2")).image_size == (3, 2, 2)


def test_picture_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("ant", "bee"):
        save(tmp_path / name / "0.png", (0, 0, 0), size=(4, 6))
        picture = Image.new("RGB", (6, 4))
        picture.save(tmp_path / name / "1.jpg", exif=exif)
    assert read_folder(str(tmp_path)).image_size == (3, 6, 4)


def test_name_is_the_same_from_everywhere(two_level, monkeypatch):
    monkeypatch.chdir(two_level.parent)
    images = data.load(f"folder:{two_level.name}")
    assert images.name == f"folder:{two_level}"
    monkeypatch.chdir(two_level)
    assert data.load("folder:.").name == images.name


def test_different_sizes_are_listed(two_level):
    odd = save(two_level / "train" / "bee" / "9.png", (0, 0, 0), size=(5, 5))
    with pytest.raises(InputError) as caught:
        read_folder(str(two_level))
    message = str(caught.value)
    assert "10 are 4x6 (height x width), 1 are not" in message
    assert f"{odd} (5x5)" in message
    assert "@4" in message


def test_unreadable_pictures_are_listed_up_to_ten(two_level):
    for number in range(12):
        (two_level / "train" / "ant" / f"bad{number:02}.png").write_bytes(b"no picture")
    with pytest.raises(InputError) as caught:
        read_folder(str(two_level))
    message = str(caught.value)
    assert "12 of 22 pictures cannot be read" in message
    assert "bad09.png" in message
    assert "bad10.png" not in message
    assert "and 2 more" in message


def test_picture_cut_short_is_named(two_level):
    rng = np.random.default_rng(0)
    path = two_level / "test" / "bee" / "0.png"
    Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"1 of 10 pictures cannot be read:\n.*bee.0\.png"):
        read_folder(str(two_level))


def test_sixteen_bits_are_refused(two_level):
    pixels = np.full((4, 6), 40_000, np.uint16)
    Image.fromarray(pixels).save(two_level / "train" / "ant" / "deep.png")
    with pytest.raises(InputError, match=r"deep.png .*not 8 bits a channel"):
        read_folder(str(two_level))


def test_other_files_and_hidden_folders_are_left_alone(two_level):
    (two_level / "train" / "ant" / "notes.txt").write_text("hello")
    (two_level / "train" / "ant" / ".hidden.png").write_bytes(b"")
    (two_level / "train" / ".cache").mkdir()
    assert len(read_folder(str(two_level)).train_labels) == 6


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "test").rename(path / "later"), "neither 'test' nor 'val'"),
        (lambda path: (path / "train" / "cow").mkdir(), "without a picture.*cow"),
        (lambda path: save(path / "test" / "cow" / "0.png", 0), "that 'train' lacks: cow"),
        (lambda path: (path / "train").rename(path / "ant"), "two pictures or more.*ant, test"),
    ],
)
def test_folders_that_make_no_sense(two_level, spoil, message):
    if "two pictures" in message:
        for part in ("train", "test"):
            save(two_level / part / "only.png", (0, 0, 0))
    spoil(two_level)
    with pytest.raises(InputError, match=message):
        read_folder(str(two_level))


def test_one_class_is_too_few(tmp_path):
    save(tmp_path / "ant" / "0.png", (0, 0, 0))
    with pytest.raises(InputError, match="has 1 folders: expected one for each class"):
        read_folder(str(tmp_path))


@pytest.mark.parametrize("size", ["0", "x4", "4x", "big", "", "-3"])
def test_size_that_is_none(two_level, size):
    with pytest.raises(InputError, match="is no size: write @32"):
        read_folder(f"{two_level}@{size}")


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"There is no folder '.*nothing'"):
        data.load(f"folder:{tmp_path / 'nothing'}")


def test_describe_reads_the_folder(two_level):
    known = data.describe(f"folder:{two_level}")
    assert (known["train"], known["test"]) == (6, 4)
    assert known["class_names"] == ("ant", "bee")
    assert known["kind"] == "folder"
    assert known["present"]
