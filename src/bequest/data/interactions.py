"""What users did, in order, whole in memory: from an installed package, an archive, or made here.

>>> load_interactions("planted")
InteractionData('planted', 1000 users, 1000 items, 32937 events, 40 categories)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bequest.data.cache import cache_folder
from bequest.data.interaction_catalog import INTERACTIONS
from bequest.data.interaction_files import movielens_folder, read_beauty, read_movielens
from bequest.data.planted_interests import planted_interests
from bequest.errors import InputError, unknown
from bequest.ops.sequences import Sequences


@dataclass(frozen=True, kw_only=True, eq=False)
class InteractionData:
    """Sequences of events with a category for each item. Shared: don't write into it.

    Shapes:
        categories: `(num_items + 1,)`, int64: of each id, from 0; the first is for padding.
    """

    name: str
    sequences: Sequences
    categories: Tensor
    licence: str
    source: str

    @property
    def num_items(self) -> int:
        """Ids are 1 .. num_items, by falling frequency."""
        return len(self.categories) - 1

    def __repr__(self) -> str:
        return (
            f"InteractionData('{self.name}', {len(self.sequences)} users, {self.num_items} items, "
            f"{len(self.sequences.items)} events, {int(self.categories.max()) + 1} categories)"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class UserSplit:
    """Users for training, for choosing, and for the test; nobody is in two."""

    train: Sequences
    validation: Sequences
    test: Sequences


def split_users(sequences: Sequences, *, seed: int) -> UserSplit:
    """Strong generalisation: eight tenths of the users train, one validates, one tests.

    Args:
        sequences: At least 10 users.
        seed: Decides who is where.

    Raises:
        InputError: For fewer users.
    """
    number, tenth = len(sequences), len(sequences) // 10
    if not tenth:
        raise InputError(f"There are {number} users; a split into tenths needs at least 10.")
    order = torch.from_numpy(np.random.default_rng(seed).permutation(number))
    parts = order.split([number - 2 * tenth, tenth, tenth])
    train, validation, test = (sequences.take(part.sort().values) for part in parts)
    return UserSplit(train=train, validation=validation, test=test)


def has_movielens() -> bool:
    """Whether `ml-100k` is here; nothing is imported for the answer."""
    return movielens_folder(cache_folder()) is not None


def load_interactions(name: str) -> InteractionData:
    """Reads a set of interactions; the next call gives the same object.

    Users and items with fewer than five events are left out, until all have five.

    Args:
        name: One of

            - `ml-100k`: MovieLens-100K, read out of the installed package recbole, or from
              `ml-100k.inter` and `ml-100k.item` in the cache folder's subfolder `ml-100k`;
            - `beauty`: Amazon Beauty, from `s3rec_beauty_lastfm.tar.xz` in the cache folder, or
              from `Beauty.txt` and `Beauty_item2attributes.json` in its subfolder `beauty`;
            - `planted`: users with groups of items that are known.

    Raises:
        InputError: For an unknown name; for a set that is not here, with where to get it; for
            files that are damaged or of another set.
    """
    if name not in INTERACTIONS:
        raise unknown("set of interactions", name, INTERACTIONS)
    return _load(name, cache_folder())


_READERS: dict[str, Callable[[Path], tuple[list[list[str]], dict[str, str]]]] = {
    "ml-100k": read_movielens,
    "beauty": read_beauty,
    "planted": lambda _: planted_interests(),
}


@cache
def _load(name: str, folder: Path) -> InteractionData:
    entry = INTERACTIONS[name]
    lists, category = _READERS[name](folder)
    data = from_events(lists, category, name=name, licence=entry.licence, source=entry.source)
    found = (len(data.sequences), data.num_items, len(data.sequences.items))
    expected = (entry.users, entry.items, entry.events)
    if name != "planted" and found != expected:
        raise InputError(
            f"The files of '{name}' hold {found[0]} users, {found[1]} items and {found[2]} events; "
            f"the published set has {expected[0]}, {expected[1]} and {expected[2]}. Get it again."
        )
    return data


def from_events(
    lists: Iterable[Sequence[str]],
    category: Mapping[str, str],
    *,
    name: str = "events",
    least: int = 5,
    licence: str = "",
    source: str = "",
) -> InteractionData:
    """Sequences out of names: items are numbered from 1 by falling frequency.

    Args:
        lists: What each user did, oldest first, as names of items.
        category: Of each item by name; items without one share one of their own.
        name: What to call the set.
        least: Users and items with fewer events are left out, until all have as many.
        licence: Of the data.
        source: Where the data is from.

    Raises:
        InputError: When nothing is left.
    """
    kept, before = [list(items) for items in lists], -1
    while sum(map(len, kept)) != before:
        before = sum(map(len, kept))
        count = Counter(item for items in kept for item in items)
        kept = [[item for item in items if count[item] >= least] for items in kept]
        kept = [items for items in kept if len(items) >= least]
    if not kept:
        raise InputError(f"'{name}' has no user and item with {least} events each.")
    ranked = [item for item, _ in sorted(count.items(), key=lambda pair: (-pair[1], pair[0]))]
    number = {item: place for place, item in enumerate(ranked, start=1)}
    names = sorted({category.get(item, "") for item in ranked})
    place = {label: index for index, label in enumerate(names)}
    return InteractionData(
        name=name,
        sequences=Sequences.of([[number[item] for item in items] for items in kept]),
        categories=torch.tensor([0, *(place[category.get(item, "")] for item in ranked)]),
        licence=licence,
        source=source,
    )
