"""A part of Tiny-ImageNet with labels: 64x64 photographs in colour, out of one archive."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image

from bequest.data.archives import unpacked_where
from bequest.data.cache import cache_folder
from bequest.data.images import ImageData
from bequest.errors import InputError
from bequest.nn.presets import PRESETS

NAME = "tiny_imagenet100_sub.tar"
_SIDE = 64


def tiny_imagenet() -> ImageData:
    """The images of `tiny_imagenet100_sub.tar` in the cache folder; read once a process.

    The archive holds `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`, grey ones among them; any number
    of the 200 classes will do. What is called `val` is the test part.

    Raises:
        InputError: When there is no such archive, or it is of another form.
    """
    return read_tiny_imagenet(cache_folder() / NAME)


@cache
def read_tiny_imagenet(path: Path) -> ImageData:
    """The same from any archive of that form."""
    if not path.is_file():
        raise InputError(
            f"There is no '{path}': put an archive of Tiny-ImageNet there, with train/CLASS/*.JPEG "
            "and val/CLASS/*.JPEG. BEQUEST_CACHE names another cache folder."
        )
    files = unpacked_where(path, lambda name: name.endswith(".JPEG"))
    classes = sorted({PurePosixPath(name).parts[-2] for name in files})
    parts = {}
    for part in ("train", "val"):
        names = sorted(name for name in files if part in PurePosixPath(name).parts[:-2])
        if not names:
            raise InputError(f"'{path}' has no pictures in {part}/CLASS/.")
        labels = [classes.index(PurePosixPath(name).parts[-2]) for name in names]
        pixels = np.stack([_pixels(files[name], name, path) for name in names])
        parts[part] = torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.tensor(labels)
    mean, std = PRESETS["imagenet"]
    return ImageData(
        name=f"tiny-imagenet-{len(classes)}",
        train_images=parts["train"][0],
        train_labels=parts["train"][1],
        test_images=parts["val"][0],
        test_labels=parts["val"][1],
        class_names=tuple(classes),
        mean=mean,
        std=std,
        mirrored=True,
        licence="terms of ImageNet",
        source="Stanford CS231n: Tiny ImageNet, a part of ImageNet (Deng et al., CVPR 2009)",
    )


def _pixels(content: bytes, name: str, path: Path) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise InputError(f"'{name}' in '{path}' cannot be read as JPEG ({error}).") from error
    if pixels.shape != (_SIDE, _SIDE, 3):
        raise InputError(f"'{name}' in '{path}' is {pixels.shape[:2]}; {_SIDE}x{_SIDE} is needed.")
    return pixels
