"""Unlabelled images from anywhere, brought to one size: a pool to learn from."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

from bequest.data.catalog import DATA
from bequest.data.loading import load
from bequest.data.presence import FOLDER
from bequest.errors import InputError, unknown
from bequest.nn.weights import shorten

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
)
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Images without labels.

    Shapes:
        images: `(count, channels, height, width)`, uint8, channels last in memory, on the CPU.
    """

    name: str
    images: torch.Tensor
    skipped: tuple[str, ...] = ()
    """Files that look like pictures and could not be read, each with the reason."""


def load_pool(spec: str | Path, *, image_size: tuple[int, int, int]) -> Pool:
    """Reads a pool; each image is cut around its centre to the wanted shape and scaled.

    Args:
        spec: A folder, whose pictures are taken at any depth, or a `.tar` archive of pictures;
            else the name of a data set, of which the training images are taken without labels.
        image_size: `(channels, height, width)`, with 1 or 3 channels. Pictures may be of any size
            and mode: colour becomes grey and grey colour, transparency becomes white.

    Returns:
        The pool. Files that cannot be read are skipped and listed.

    Raises:
        InputError: When there is no such thing, it holds no picture, or none that can be read.
    """
    if image_size[0] not in _MODES:
        raise InputError(
            f"Pictures have 1 or 3 channels, the networks take {image_size[0]}: give the pool as a "
            "uint8 tensor (count, channels, height, width) from Python."
        )
    name = str(spec).removeprefix(FOLDER)
    if name in DATA:
        images = load(name).train_images
        return Pool(name=name, images=_resized(images, image_size=image_size))
    path = Path(name).expanduser()
    if not path.exists():
        if "/" in name or path.suffix:
            raise InputError(f"There is no folder, archive or data set '{name}' to take as a pool.")
        raise unknown("pool", name, [*DATA, "a folder", "a .tar archive"])
    images, skipped = _read(path, image_size=image_size)
    return Pool(name=str(path.resolve()), images=images, skipped=skipped)


def _read(path: Path, *, image_size: tuple[int, int, int]) -> tuple[torch.Tensor, tuple[str, ...]]:
    channels, height, width = image_size
    rows: list[np.ndarray] = []
    skipped: list[str] = []
    for label, file in _files(path):
        try:
            with Image.open(file, formats=_FORMATS) as opened:
                # A JPEG can be decoded at a half, a quarter or an eighth of its size.
                opened.draft(None, (2 * width, 2 * height))
                picture = _plain(ImageOps.exif_transpose(opened)).convert(_MODES[channels])
            picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
            rows.append(np.asarray(picture).reshape(height, width, channels))
        except Exception as error:  # damaged files make the decoders raise many kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
            skipped.append(f"{label} ({reason})")
    if not rows and not skipped:
        raise InputError(f"'{path}' holds no picture ({', '.join(SUFFIXES)}).")
    if not rows:
        raise InputError(
            f"None of the {len(skipped)} pictures of '{path}' can be read:\n  "
            f"{shorten(skipped, separator=chr(10) + '  ')}"
        )
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2), tuple(skipped)


def _files(path: Path) -> Iterator[tuple[str, Path | IO[bytes]]]:
    """Each picture's name and what it can be read from, in the order of the names."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if _is_picture(file.name) and file.is_file():
                yield str(file), file
        return
    try:
        archive = tarfile.open(path)  # noqa: SIM115 - closed below, where it is read
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"'{path}' is neither a folder nor a .tar archive ({error}).") from error
    with archive:
        members = (m for m in archive.getmembers() if m.isfile() and _is_picture(Path(m.name).name))
        for member in sorted(members, key=lambda member: member.name):
            content = archive.extractfile(member)
            if content is not None:
                yield member.name, io.BytesIO(content.read())


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _plain(picture: Image.Image) -> Image.Image:
    """With 8 bits a channel, and white where it is transparent."""
    if picture.mode.startswith(("I", "F")):
        levels = np.asarray(picture).astype(np.float64)
        low, high = (0.0, 65535.0) if picture.mode.startswith("I") else (levels.min(), levels.max())
        scaled = (levels - low) / max(high - low, 1e-12) * 255
        return Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture


def _resized(images: torch.Tensor, *, image_size: tuple[int, int, int]) -> torch.Tensor:
    """Images of a data set in another size or number of channels."""
    channels, height, width = image_size
    if images.shape[1] != channels:
        grey = images.float().mean(1, keepdim=True).round().to(torch.uint8)
        images = (images if images.shape[1] == 1 else grey).expand(-1, channels, -1, -1)
    if images.shape[-2:] == (height, width):
        return images
    parts = [
        F.interpolate(
            part.float(), size=(height, width), mode="bicubic", align_corners=False, antialias=True
        )
        for part in images.split(1000)
    ]
    pixels = torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])
    return pixels.contiguous(memory_format=torch.channels_last)
