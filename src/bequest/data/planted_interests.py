"""Generated users whose interests are known: what a method of several interests should find."""

from __future__ import annotations

import numpy as np


def planted_interests(
    *,
    users: int = 1000,
    groups: int = 40,
    group_size: int = 25,
    shortest: int = 15,
    longest: int = 50,
    stay: float = 0.6,
    noise: float = 0.1,
) -> tuple[list[list[str]], dict[str, str]]:
    """Events of users who follow two to four groups of items each, and the group of each item.

    A user stays with a group from event to event with probability `stay`, else turns to any of
    the user's groups, and takes any item of all with probability `noise`. Within a group and of
    all, items are drawn by Zipf's law; nobody takes an item twice.

    Returns:
        Item names of each user in order, and the group of each item by name.
    """
    draw = np.random.default_rng(0)
    number = groups * group_size
    group = np.arange(number) % groups
    weight = 1 / (1 + np.arange(number) // groups)
    lists = []
    for _ in range(users):
        own = draw.choice(groups, size=draw.integers(2, 5), replace=False)
        now, left, items = own[0], weight.copy(), []
        for _ in range(draw.integers(shortest, longest + 1)):
            if draw.random() >= stay:
                now = draw.choice(own)
            wanted = left * (group == now)
            if draw.random() < noise or not wanted.any():
                wanted = left
            item = int(draw.choice(number, p=wanted / wanted.sum()))
            left[item] = 0
            items.append(str(item))
        lists.append(items)
    return lists, {str(item): f"{group[item]:02d}" for item in range(number)}
