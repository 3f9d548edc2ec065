"""From a name to images in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from bequest.data import embedded
from bequest.data.cache import cache_folder
from bequest.data.catalog import DATA, Entry
from bequest.data.cifar import Labelled, read_cifar10
from bequest.data.folder import read_folder
from bequest.data.idx import read_pair
from bequest.data.images import ImageData
from bequest.data.presence import FOLDER, find, get
from bequest.data.splits import stratified_split
from bequest.errors import InputError, unknown

_EMBEDDED: dict[str, Callable[[], Labelled]] = {
    "digits": embedded.digits,
    "mnist5k": embedded.mnist5k,
}


def load(name: str) -> ImageData:
    """Reads a data set; downloads it first where that is needed.

    A process reads a set once: the next call gives the same object, which nobody may write into.
    That holds for folders too, so changes in a folder are seen by the next process.

    Args:
        name: one of

            - ``digits`` and ``mnist5k``, which are inside installed packages;
            - ``mnist``, ``fashion-mnist`` and ``cifar10``, which are in the cache folder
              (:func:`bequest.data.cache_folder`) or downloaded into it;
            - ``folder:PATH`` or ``folder:PATH@SIZE``, see
              :func:`bequest.data.folder.read_folder`.

    Raises:
        InputError: for an unknown name; for a set that is neither here nor to be had, with where
            to get it; for files that are damaged or of another format.

    Example:
        >>> load("digits")
        ImageData('digits', 1347 + 450 images of 1x8x8, 10 classes)
    """
    if name.startswith(FOLDER):
        return _load_folder(name.removeprefix(FOLDER), Path.cwd())
    if name not in DATA:
        raise unknown("data set", name, [*DATA, "folder:PATH"])
    return _load(name, cache_folder())


@cache
def _load_folder(spec: str, _: Path) -> ImageData:
    # The current folder is part of the key, because the path may be relative to it.
    return read_folder(spec)


@cache
def _load(name: str, folder: Path) -> ImageData:
    entry = DATA[name]
    if entry.kind == "embedded":
        images, labels = _EMBEDDED[name]()
        parts = stratified_split(labels, test=entry.test)
        train, test = ((images[part], labels[part]) for part in parts)
    else:
        train, test = _read_files(entry, find(entry, folder) or get(name))
    _check_against(entry, train, test)
    return ImageData(
        name=name,
        train_images=train[0],
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
        class_names=entry.class_names,
        mean=entry.mean,
        std=entry.std,
        mirrored=entry.mirrored,
        licence=entry.licence,
        source=entry.source,
    )


def _read_files(entry: Entry, files: list[Path]) -> tuple[Labelled, Labelled]:
    if entry.name == "cifar10":
        return read_cifar10(files)
    return read_pair(*files[:2]), read_pair(*files[2:])


def _check_against(entry: Entry, train: Labelled, test: Labelled) -> None:
    expected = ((entry.train, *entry.image_size), (entry.test, *entry.image_size))
    found = (tuple(train[0].shape), tuple(test[0].shape))
    if found != expected:
        raise InputError(
            f"The files of '{entry.name}' hold {found[0]} training and {found[1]} test images; "
            f"the published set has {expected[0]} and {expected[1]}. Delete them and get it again."
        )
