"""Grey pictures of different sizes, for methods that denoise or recover images.

:func:`package_pictures` reads what installed packages bring: scikit-image's pictures where it is
installed, else those of scikit-learn and matplotlib. :func:`reconstruction_pictures` reads the
sets that the papers of the field use, from the cache folder.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from bequest.data.archives import unpacked_where
from bequest.data.cache import cache_folder
from bequest.data.presence import package_folder
from bequest.errors import InputError

Grey = tuple[torch.Tensor, ...]
"""Pictures ``(height, width)``, uint8, each of its own size."""

# Photographs. The parts share no picture.
_SCIKIT_IMAGE: dict[str, tuple[str, ...]] = {
    "train": (
        *("data/astronaut.png", "data/rocket.jpg", "data/brick.png", "data/grass.png"),
        *("data/gravel.png", "data/motorcycle_left.png", "data/hubble_deep_field.jpg"),
    ),
    "validation": ("data/coffee.png", "data/ihc.png"),
    "test": ("data/camera.png", "data/coins.png", "data/moon.png", "data/chelsea.png"),
}
_CHINA, _FLOWER = "datasets/images/china.jpg", "datasets/images/flower.jpg"
_ARCHIVE = "bsd_set12_mri_ct.tar"
_REPOSITORY = "convex_ridge_regularizers/training/data/images"
# Folders of the archive; validation is apart from training and test in each.
_SETS: dict[str, dict[str, tuple[str, ...]]] = {
    "bsd68": {"train": ("BSD/train",), "validation": ("BSD/Set12",), "test": ("BSD/Set68",)},
    "mri-knee": {"train": ("MRI/train",), "test": ("MRI/validation",)},
    "ct-phantoms": {"train": ("CT/train",), "test": ("CT/validation",)},
}
_HELD_BACK = 4  # training pictures to choose settings on, of sets without a validation part


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureData:
    """Grey pictures in three parts. Shared between callers: don't write into it.

    Strengths and settings are chosen on the validation part, figures are reported on the test part.
    """

    name: str
    train: Grey
    validation: Grey
    test: Grey
    licence: str
    source: str

    def __post_init__(self) -> None:
        for part in ("train", "validation", "test"):
            pictures: Grey = getattr(self, part)
            if not pictures or any(p.ndim != 2 or p.dtype != torch.uint8 for p in pictures):
                raise InputError(f"{self.name}, {part}: pictures must be uint8 (height, width).")

    def __repr__(self) -> str:
        counts = " + ".join(str(len(getattr(self, p))) for p in ("train", "validation", "test"))
        return f"PictureData('{self.name}', {counts} grey pictures)"


def package_pictures(*, shrink: int = 2) -> PictureData:
    """The pictures inside installed packages, smaller by a factor so that they are sharp.

    With scikit-image: 9 to train on (two of them scikit-learn's), 2 to choose on (coffee, a
    tissue), 4 to test on (camera, coins, moon, cat). Else scikit-learn's two and matplotlib's one:
    the flower's right third to choose on, the portrait of Grace Hopper to test on.

    Args:
        shrink: Pixels a side that are averaged into one.
    """
    return _of_packages(shrink, bool(package_folder("scikit-image")))


def package_note() -> str:
    """Which pictures :func:`package_pictures` reads here, without reading them."""
    if package_folder("scikit-image"):
        return "15 photographs of scikit-image and scikit-learn (9 + 2 + 4)"
    return "3 photographs of scikit-learn and matplotlib (15 with the extra reconstruction)"


@cache
def _of_packages(shrink: int, scikit_image: bool) -> PictureData:
    china = _from_package("scikit-learn", _CHINA, shrink)
    flower = _from_package("scikit-learn", _FLOWER, shrink)
    if scikit_image:
        parts = {
            part: tuple(_from_package("scikit-image", name, shrink) for name in names)
            for part, names in _SCIKIT_IMAGE.items()
        }
        return PictureData(
            name=f"scikit-image-{shrink}",
            **parts | {"train": (*parts["train"], china, flower)},
            licence="public domain or free to use, one by one in scikit-image's data/README.txt; "
            "CC BY 2.0 (china, flower)",
            source="the pictures of scikit-image and scikit-learn",
        )
    third = flower.shape[1] * 2 // 3
    return PictureData(
        name=f"scikit-learn-{shrink}",
        train=(china, flower[:, :third]),
        validation=(flower[:, third:],),
        test=(_from_package("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", shrink),),
        licence="CC BY 2.0 (china, flower), public domain (Grace Hopper)",
        source="china by W. Wang and flower by D. Mihailescu, of scikit-learn; Grace Hopper by "
        "J. S. Davis, U.S. Navy, of matplotlib",
    )


def _from_package(distribution: str, path: str, shrink: int) -> torch.Tensor:
    folder = package_folder(distribution)
    if folder is None or not (folder / path).is_file():
        raise InputError(
            f"{distribution} has no '{path}'. Install it anew: pip install {distribution}"
        )
    return _grey((folder / path).read_bytes(), path, shrink)


def reconstruction_pictures(
    name: Literal["bsd68", "mri-knee", "ct-phantoms"], *, shrink: int = 1
) -> PictureData:
    """A set of the field: Berkeley photographs, knees from fastMRI, phantoms of chests.

    It is read from the cache folder: out of ``bsd_set12_mri_ct.tar``, with ``BSD/train``,
    ``BSD/Set12``, ``BSD/Set68``, ``MRI/train``, ``MRI/validation``, ``CT/train`` and
    ``CT/validation``, or of a copy of the repository ``convex_ridge_regularizers``. Set12 is the
    validation part of ``bsd68``; the others hold back 4 training pictures.

    Args:
        name: ``bsd68``, ``mri-knee`` or ``ct-phantoms``.
        shrink: Pixels a side that are averaged into one.

    Raises:
        InputError: When the set is not there, with where to get it, or is damaged.
    """
    return _of_archive(cache_folder(), name, shrink)


@cache
def _of_archive(folder: Path, name: str, shrink: int) -> PictureData:
    parts: dict[str, Grey] = {}
    for part, folders in _SETS[name].items():
        files = _files(folder, folders)
        if not files:
            raise InputError(f"'{folder}' has no pictures in {', '.join(folders)}. Get them again.")
        parts[part] = tuple(_grey(files[path], str(path), shrink) for path in sorted(files))
    if "validation" not in parts:
        parts["validation"] = parts["train"][-_HELD_BACK:]
        parts["train"] = parts["train"][:-_HELD_BACK]
    return PictureData(
        name=f"{name}-{shrink}",
        **parts,
        licence="none stated; BSD and fastMRI are free for research",
        source="D. Martin and others: BSDS, 2001; J. Zbontar and others: fastMRI, 2018; the "
        "preparation of A. Goujon's convex_ridge_regularizers",
    )


def _files(folder: Path, wanted: Sequence[str]) -> dict[PurePosixPath, bytes]:
    archive = folder / _ARCHIVE
    if archive.is_file():

        def is_wanted(name: str) -> bool:
            return name.endswith(".png") and str(PurePosixPath(name).parent) in wanted

        read = unpacked_where(archive, is_wanted)
        return {PurePosixPath(name): content for name, content in read.items()}
    images = folder / _REPOSITORY
    if images.is_dir():
        paths = [path for name in wanted for path in (images / name).glob("*.png")]
        return {PurePosixPath(path): path.read_bytes() for path in paths}
    raise InputError(
        f"The pictures are not in '{folder}'. Put a copy of the repository "
        "axgoujon/convex_ridge_regularizers there (https://github.com/axgoujon/"
        f"convex_ridge_regularizers), or an archive {_ARCHIVE} of its images. BEQUEST_CACHE names "
        "another folder."
    )


def _grey(content: bytes, name: str, shrink: int) -> torch.Tensor:
    try:
        with Image.open(io.BytesIO(content)) as opened:
            picture = opened.convert("L")
            if shrink > 1:
                picture = picture.reduce(shrink)
            return torch.from_numpy(np.array(picture))
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"'{name}' is no picture ({error}). Get it again.") from error


def patches(pictures: Grey, *, side: int, stride: int) -> torch.Tensor:
    """All square patches of a grid over each picture, ``(count, 1, side, side)``, uint8.

    Raises:
        InputError: When a picture is smaller than a patch.
    """
    _check_sides(pictures, side)
    cut = [
        p.unfold(0, side, stride).unfold(1, side, stride).reshape(-1, 1, side, side)
        for p in pictures
    ]
    return torch.cat(cut)


def middles(pictures: Grey, *, side: int) -> torch.Tensor:
    """The square in the middle of each picture, ``(count, 1, side, side)``, uint8.

    Raises:
        InputError: When a picture is smaller than the square.
    """
    _check_sides(pictures, side)
    cut = []
    for picture in pictures:
        top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        cut.append(picture[top : top + side, left : left + side])
    return torch.stack(cut)[:, None]


def _check_sides(pictures: Grey, side: int) -> None:
    smallest = min(min(p.shape) for p in pictures)
    if smallest < side:
        raise InputError(f"A picture is {smallest} pixels in height or width; {side} are needed.")
