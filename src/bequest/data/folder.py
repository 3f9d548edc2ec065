"""The user's own pictures: one folder a class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from bequest.data.images import ImageData
from bequest.data.splits import stratified_split
from bequest.errors import InputError
from bequest.nn.weights import shorten

SUFFIXES = (".png", ".jpg", ".jpeg")

_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_TEST_SHARE = 0.2
_TURNED = (5, 6, 7, 8)
"""Values of the EXIF tag for which width and height change places."""
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class _Listing:
    """The files of a data set with their labels; ``test`` is None where one has to be split off."""

    class_names: tuple[str, ...]
    train: list[tuple[Path, int]]
    test: list[tuple[Path, int]] | None


def read_folder(spec: str) -> ImageData:
    """Reads ``PATH`` or ``PATH@SIZE``, where PATH is a folder of pictures.

    PATH holds ``train/CLASS/*.png`` and ``test/CLASS/*.png`` (or ``val``), or ``CLASS/*.png``
    alone, of which every fifth picture becomes test data, evenly over classes and file names.
    PNG and JPEG are read. Classes are numbered by their names in sorted order. If all pictures
    are grey, there is one channel, else three. JPEGs are turned upright as their EXIF tag says.

    Args:
        spec: ``PATH``, with all pictures of one size; ``PATH@32`` or ``PATH@24x32`` (height x
            width), to which each picture is cut around its centre and then scaled.

    Returns:
        The data set, with mean and deviation measured on its training images. Whether mirrored
        images keep their class is not known, so ``mirrored`` is False.

    Raises:
        InputError: if there is no such folder, a class has too few pictures, test classes are
            unknown in training, or pictures cannot be read or differ in size (the first ten are
            named).
    """
    path, size = _parse(spec)
    listing = _list(path)
    everything = listing.train + (listing.test or [])
    channels = _check_headers([file for file, _ in everything], size=size)
    images = _read_all([file for file, _ in everything], size=size, channels=channels)
    labels = torch.tensor([label for _, label in everything], dtype=torch.int64)
    if listing.test is None:
        wanted = max(1, round(_TEST_SHARE * len(everything)))
        train, test = stratified_split(labels, test=wanted)
    else:
        train, test = torch.arange(len(everything)).split([len(listing.train), len(listing.test)])
    mean, std = constants(images[train])
    return ImageData(
        name=f"folder:{path}" + ("" if size is None else f"@{size[0]}x{size[1]}"),
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        class_names=listing.class_names,
        mean=mean,
        std=std,
        mirrored=False,
        licence="not stated: a folder of yours",
        source=str(path),
    )


def constants(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, with values in [0, 1].

    Exact, from the counts of the 256 values. A channel that never changes has no deviation to
    divide by, so none is below one level, 1 / 255.

    Args:
        images: ``(number, channels, height, width)``, uint8.

    Returns:
        The means and the deviations, one a channel, rounded to four digits.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256) / channel.numel()
        mean = (share * levels).sum()
        variance = (share * (levels - mean) ** 2).sum()
        means.append(round(mean.item(), 4))
        deviations.append(max(round(variance.sqrt().item(), 4), round(1 / 255, 4)))
    return tuple(means), tuple(deviations)


def _parse(spec: str) -> tuple[Path, tuple[int, int] | None]:
    """The folder, and (height, width) where a size was given."""
    whole = Path(spec).expanduser()
    base, at, tail = spec.rpartition("@")
    # A folder may have an @ in its name.
    if not at or whole.is_dir():
        path, size = whole, None
    else:
        match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", tail)
        if match is None:
            raise InputError(
                f"'{tail}' of '{spec}' is no size: write @32, or @24x32 (height x width)."
            )
        path, size = Path(base).expanduser(), (int(match[1]), int(match[2] or match[1]))
    if not path.is_dir():
        raise InputError(f"There is no folder '{path}'.")
    return path.resolve(), size


def _list(path: Path) -> _Listing:
    folders = {folder.name: folder for folder in _folders(path)}
    if "train" not in folders:
        class_names, files = _classes(path)
        counts = np.bincount([label for _, label in files], minlength=len(class_names))
        few = [name for name, count in zip(class_names, counts, strict=True) if count < 2]
        if few:
            raise InputError(
                f"'{path}' is split into training and test, so each class needs two pictures or "
                f"more ({', '.join(SUFFIXES)}); too few in: {shorten(few)}."
            )
        return _Listing(class_names, files, None)
    held_out = next((folders[name] for name in ("test", "val") if name in folders), None)
    if held_out is None:
        raise InputError(f"'{path}' has a folder 'train', but neither 'test' nor 'val' beside it.")
    class_names, train = _classes(folders["train"])
    test_names, test = _classes(held_out)
    strangers = [name for name in test_names if name not in class_names]
    if strangers:
        raise InputError(f"'{held_out}' has classes that 'train' lacks: {shorten(strangers)}.")
    position = {name: label for label, name in enumerate(class_names)}
    return _Listing(class_names, train, [(f, position[test_names[label]]) for f, label in test])


def _classes(path: Path) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    """The classes in sorted order, and each picture with its label."""
    folders = _folders(path)
    if len(folders) < 2:
        raise InputError(
            f"'{path}' has {len(folders)} folders: expected one for each class, two or more."
        )
    files = [(file, label) for label, folder in enumerate(folders) for file in _pictures(folder)]
    filled = {label for _, label in files}
    empty = [folder.name for label, folder in enumerate(folders) if label not in filled]
    if empty:
        raise InputError(
            f"'{path}' has classes without a picture ({', '.join(SUFFIXES)}): {shorten(empty)}."
        )
    return tuple(folder.name for folder in folders), files


def _folders(path: Path) -> list[Path]:
    return sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
    )


def _check_headers(files: Sequence[Path], *, size: tuple[int, int] | None) -> int:
    """Looks at all pictures without decoding them; returns the number of channels."""
    unreadable: list[str] = []
    sizes: dict[tuple[int, int], list[Path]] = {}
    channels = 1
    for file in files:
        try:
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                mode, shape = picture.mode, (picture.height, picture.width)
                turned = picture.getexif().get(_ORIENTATION) in _TURNED
        except Exception as error:
            # Any exception: damaged files make the decoders raise many kinds.
            unreadable.append(f"{file} ({_reason(error)})")
            continue
        if mode not in _GREY + _COLOUR:
            unreadable.append(f"{file} (its pixels are of type '{mode}', not 8 bits a channel)")
        sizes.setdefault(shape[::-1] if turned else shape, []).append(file)
        channels = 1 if channels == 1 and mode in _GREY else 3
    _refuse(unreadable, len(files))
    if size is None and len(sizes) > 1:
        by_number = sorted(sizes.items(), key=lambda item: -len(item[1]))
        (height, width), usual = by_number[0]
        others = [f"{f} ({h}x{w})" for (h, w), found in by_number[1:] for f in found]
        raise InputError(
            f"Pictures differ in size: {len(usual)} are {height}x{width} (height x width), "
            f"{len(others)} are not:\n  {shorten(others, separator=chr(10) + '  ')}\nGive them one "
            f"size, or let them be cut and scaled by writing @SIZE behind the folder, as @{height}."
        )
    return channels


def _read_all(
    files: Sequence[Path], *, size: tuple[int, int] | None, channels: int
) -> torch.Tensor:
    """All pictures as uint8 ``(number, channels, height, width)``, channels last in memory."""
    mode = "L" if channels == 1 else "RGB"
    bank: np.ndarray | None = None
    unreadable: list[str] = []
    for position, file in enumerate(files):
        try:
            with Image.open(file, formats=("PNG", "JPEG")) as opened:
                picture = ImageOps.exif_transpose(opened).convert(mode)
            if size is not None:
                picture = ImageOps.fit(picture, size[::-1], Image.Resampling.BICUBIC)
            pixels = np.asarray(picture).reshape(picture.height, picture.width, channels)
        except Exception as error:
            unreadable.append(f"{file} ({_reason(error)})")
            continue
        if bank is None:
            bank = np.empty((len(files), *pixels.shape), np.uint8)
        bank[position] = pixels
    _refuse(unreadable, len(files))
    assert bank is not None
    return torch.from_numpy(bank).permute(0, 3, 1, 2)


def _refuse(unreadable: list[str], total: int) -> None:
    if unreadable:
        raise InputError(
            f"{len(unreadable)} of {total} pictures cannot be read:\n  "
            f"{shorten(unreadable, separator=chr(10) + '  ')}\nRepair or remove them."
        )


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
