"""Generated families: facts of kinship that follow from who married whom and had which children."""

from __future__ import annotations

from itertools import combinations, permutations

import torch
from torch import Tensor

KIN = (
    "married_to",
    "father_of",
    "mother_of",
    "has_father",
    "has_mother",
    "sibling_of",
    "uncle_of",
    "aunt_of",
    "grandfather_of",
    "grandmother_of",
    "grandchild_of",
    "cousin_of",
)
"""The relations, in the order of their numbers; 1-1, 1-N, N-1 and N-N ones."""


def families(*, people: int, seed: int = 0) -> tuple[Tensor, int]:
    """All facts of kinship in families of three generations.

    Args:
        people: How many at least; the last family is made whole.
        seed: Decides how many children there are.

    Returns:
        Facts, columns head, relation, tail `(facts, 3)`, int64, in an order without meaning; and
        the number of people.
    """
    generator = torch.Generator().manual_seed(seed)
    facts: set[tuple[int, str, int]] = set()
    count = 0

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    def person() -> int:
        nonlocal count
        count += 1
        return count - 1

    def couple(first: int, first_is_man: bool, children: int) -> list[tuple[int, bool]]:
        second = person()
        father, mother = (first, second) if first_is_man else (second, first)
        facts.update({(father, "married_to", mother), (mother, "married_to", father)})
        born = [(person(), bool(draw(0, 1))) for _ in range(children)]
        for child, _ in born:
            facts.update({(father, "father_of", child), (child, "has_father", father)})
            facts.update({(mother, "mother_of", child), (child, "has_mother", mother)})
        facts.update((a, "sibling_of", b) for (a, _), (b, _) in permutations(born, 2))
        return born

    while count < people:
        founder = person()
        children = couple(founder, True, draw(2, 4))
        nests = [[g for g, _ in couple(c, is_man, draw(1, 3))] for c, is_man in children]
        for grandchild in (g for nest in nests for g in nest):
            for old, kin in ((founder, "grandfather_of"), (founder + 1, "grandmother_of")):
                facts.update({(old, kin, grandchild), (grandchild, "grandchild_of", old)})
        for (child, is_man), nest in zip(children, nests, strict=True):
            others = (g for other in nests if other is not nest for g in other)
            facts.update((child, "uncle_of" if is_man else "aunt_of", g) for g in others)
        for nest, other in combinations(nests, 2):
            facts.update(pair for a in nest for b in other
                         for pair in ((a, "cousin_of", b), (b, "cousin_of", a)))  # fmt: skip
    rows = torch.tensor(sorted((h, KIN.index(r), t) for h, r, t in facts))
    return rows[torch.randperm(len(rows), generator=generator)], count
