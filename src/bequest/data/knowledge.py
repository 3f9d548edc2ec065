"""Knowledge graphs: facts (head, relation, tail) as numbers, split for training and tests.

>>> load_knowledge_graph("families")
KnowledgeGraph('families', 121 entities, 12 relations, 862 + 107 + 107 facts)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from bequest.data.archives import unpacked
from bequest.data.cache import cache_folder
from bequest.data.download import download
from bequest.data.families import KIN, families
from bequest.data.knowledge_catalog import KNOWLEDGE_GRAPHS, KnowledgeEntry
from bequest.data.presence import package_folder
from bequest.errors import InputError, unknown

_PARTS = ("train", "valid", "test")
Read = Callable[[str], bytes]
"""From a file's name to its content."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KnowledgeGraph:
    """Facts about numbered entities and relations. Shared between callers: don't write into it.

    Shapes:
        train, validation, test: `(facts, 3)`, int64, columns head, relation, tail.
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    entity_names: tuple[str, ...]
    relation_names: tuple[str, ...]
    licence: str
    source: str

    @property
    def num_entities(self) -> int:
        """How many entities there are."""
        return len(self.entity_names)

    @property
    def num_relations(self) -> int:
        """How many relations there are."""
        return len(self.relation_names)

    @property
    def known(self) -> Tensor:
        """All facts: what a filtered rank leaves out."""
        return torch.cat([self.train, self.validation, self.test])

    def __repr__(self) -> str:
        return (
            f"KnowledgeGraph('{self.name}', {self.num_entities} entities, {self.num_relations} "
            f"relations, {len(self.train)} + {len(self.validation)} + {len(self.test)} facts)"
        )


def is_here(name: str) -> bool:
    """Whether that knowledge graph can be read without a network; nothing is imported to say it."""
    entry, folder = KNOWLEDGE_GRAPHS[name], cache_folder()
    if entry.form == "generated" or _inside_package(entry) is not None:
        return True
    packed = bool(entry.archive) and (folder / entry.archive).is_file()
    return packed or all((folder / entry.name / file.name).is_file() for file in entry.files)


def load_knowledge_graph(name: str) -> KnowledgeGraph:
    """Reads a knowledge graph; downloads it first where that is needed.

    A process reads a graph once: the next call gives the same object.

    Args:
        name: One of

            - `families`: generated, needs nothing;
            - `kinships`, `umls`: inside PyKEEN's package, which is not imported; else read from
              the cache folder's subfolder of that name, or downloaded there;
            - `fb15k-237`: from the archive `fb15k-237.tar.xz` in the cache folder, or from
              OpenKE's files in its subfolder `fb15k-237`, or downloaded there.

    Raises:
        InputError: For an unknown name; for a graph that is neither here nor to be had, with where
            to get it; for files that are damaged or of another graph.
    """
    if name not in KNOWLEDGE_GRAPHS:
        raise unknown("knowledge graph", name, KNOWLEDGE_GRAPHS)
    return _load(name, cache_folder())


@cache
def _load(name: str, folder: Path) -> KnowledgeGraph:
    entry = KNOWLEDGE_GRAPHS[name]
    if entry.form == "generated":
        parts, entities, relations = _families()
    elif entry.form == "labels":
        parts, entities, relations = read_labels(_reader(entry, folder))
    else:
        parts, entities, relations = read_numbers(_reader(entry, folder))
    found = (len(entities), len(relations), *map(len, parts))
    expected = (entry.entities, entry.relations, entry.train, entry.validation, entry.test)
    if found != expected:
        raise InputError(
            f"The files of '{name}' hold {found[0]} entities, {found[1]} relations and "
            f"{found[2:]} facts; the published graph has {expected[0]}, {expected[1]} and "
            f"{expected[2:]}. Delete them and get it again."
        )
    train, validation, test = parts
    return KnowledgeGraph(
        name=name,
        train=train,
        validation=validation,
        test=test,
        entity_names=entities,
        relation_names=relations,
        licence=entry.licence,
        source=entry.source,
    )


def _reader(entry: KnowledgeEntry, folder: Path) -> Read:
    """Where the files are: in a package, in an archive, or in the cache folder."""
    inside = _inside_package(entry)
    if inside is not None:
        return lambda name: (inside / name).read_bytes()
    collected, own = folder / entry.archive, folder / entry.name
    if entry.archive and collected.is_file():
        prefix = entry.archive_folder
        content = unpacked(collected, {f"{prefix}/{file.name}" for file in entry.files})
        return lambda name: content[f"{prefix}/{name}"]
    for file in entry.files:
        try:
            download(file, own, progress=True)
        except InputError as error:
            package_hint = " or install PyKEEN, which has them: pip install pykeen"
            raise InputError(
                f"The knowledge graph '{entry.name}' is not here. {error}\nTo bring it by hand, "
                f"put {', '.join(file.name for file in entry.files)} into {own}"
                f"{package_hint if entry.inside else ''}. BEQUEST_CACHE names another cache folder."
            ) from error
    return lambda name: (own / name).read_bytes()


def _inside_package(entry: KnowledgeEntry) -> Path | None:
    """PyKEEN's folder of that graph, where PyKEEN is installed."""
    package = package_folder("pykeen") if entry.inside else None
    folder = package / entry.inside if package is not None else None
    return folder if folder is not None and folder.is_dir() else None


def read_labels(read: Read) -> tuple[list[Tensor], tuple[str, ...], tuple[str, ...]]:
    """`train.txt`, `valid.txt` and `test.txt`: a fact a line, three names apart by tabs.

    Args:
        read: From a file's name to its content.

    Returns:
        The facts of the three, then the names of entities and relations, ascending.

    Raises:
        InputError: For a line of another form.
    """
    lines = {part: _lines(read, f"{part}.txt") for part in _PARTS}
    for part, rows in lines.items():
        for number, row in enumerate(rows, start=1):
            if len(row) != 3:
                raise InputError(
                    f"{part}.txt, line {number}: {row} is no fact; expected head, relation and "
                    "tail, apart by tabs."
                )
    facts = [row for rows in lines.values() for row in rows]
    entities = tuple(sorted({name for head, _, tail in facts for name in (head, tail)}))
    relations = tuple(sorted({relation for _, relation, _ in facts}))
    entity = {name: number for number, name in enumerate(entities)}
    relation = {name: number for number, name in enumerate(relations)}
    parts = [
        _table([[entity[h], relation[r], entity[t]] for h, r, t in rows]) for rows in lines.values()
    ]
    return parts, entities, relations


def read_numbers(read: Read) -> tuple[list[Tensor], tuple[str, ...], tuple[str, ...]]:
    """OpenKE's `train2id.txt`, `valid2id.txt`, `test2id.txt`, `entity2id.txt`, `relation2id.txt`.

    Trap: its columns are head, tail, relation; ours are head, relation, tail.

    Args:
        read: From a file's name to its content.

    Returns:
        The facts of the three, then the names of entities and relations, by number.

    Raises:
        InputError: For files of another form, or a number without a name.
    """
    names = []
    for kind in ("entity", "relation"):
        rows = _lines(read, f"{kind}2id.txt")[1:]
        if [row[-1] for row in rows] != [str(number) for number in range(len(rows))]:
            raise InputError(f"{kind}2id.txt does not number its names 0, 1, 2, ...")
        names.append(tuple(row[0] for row in rows))
    entities, relations = names
    parts = []
    for part in _PARTS:
        try:
            count, *rows = _lines(read, f"{part}2id.txt", separator=None)
            facts = _table([[int(value) for value in row] for row in rows])
            stated = int(count[0])
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{part}2id.txt is no table of three numbers a line.") from error
        if len(facts) != stated:
            raise InputError(f"{part}2id.txt states {stated} facts and has {len(facts)}.")
        limits = torch.tensor([len(entities), len(entities), len(relations)])
        if (facts < 0).any() or (facts >= limits).any():
            raise InputError(f"{part}2id.txt has a number without a name: are the columns right?")
        parts.append(facts[:, [0, 2, 1]])
    return parts, entities, relations


def _lines(read: Read, name: str, *, separator: str | None = "\t") -> list[list[str]]:
    """The lines that are not empty, split."""
    try:
        text = read(name).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name} cannot be read: {error}") from error
    return [line.split(separator) for line in text.splitlines() if line.strip()]


def _table(rows: list[list[int]]) -> Tensor:
    """`(rows, 3)`, also of no rows."""
    return torch.tensor(rows, dtype=torch.int64).view(-1, 3)


def _families() -> tuple[list[Tensor], tuple[str, ...], tuple[str, ...]]:
    facts, people = families(people=120)
    tenth = len(facts) // 10
    parts = [facts[2 * tenth :], facts[:tenth], facts[tenth : 2 * tenth]]
    return parts, tuple(f"person {number}" for number in range(people)), KIN
