"""Knowledge graphs: the two formats on files of the test's own, families, the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from bequest.data.families import KIN, families
from bequest.data.knowledge import is_here, load_knowledge_graph, read_labels, read_numbers
from bequest.data.knowledge_catalog import KNOWLEDGE_GRAPHS
from bequest.errors import InputError

FOLDER = Path(os.environ.get("BEQUEST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
ARCHIVE = KNOWLEDGE_GRAPHS["fb15k-237"].archive

LABELS = {"train.txt": "b\tlikes\ta\na\tknows\tc\n", "valid.txt": "", "test.txt": "c\tlikes\tb\n"}
NUMBERS = {
    "train2id.txt": "2\n0 1 1\n2 0 0\n",
    "valid2id.txt": "0\n",
    "test2id.txt": "1\n1 2 1\n",
    "entity2id.txt": "3\nx\t0\ny\t1\nz\t2\n",
    "relation2id.txt": "2\np\t0\nq\t1\n",
}


def test_facts_of_names():
    parts, entities, relations = read_labels(lambda name: LABELS[name].encode())
    assert entities == ("a", "b", "c")
    assert relations == ("knows", "likes")
    assert [part.tolist() for part in parts] == [[[1, 1, 0], [0, 0, 2]], [], [[2, 1, 1]]]
    assert all(part.dtype == torch.int64 for part in parts)


def test_openke_has_the_relation_last():
    parts, entities, relations = read_numbers(lambda name: NUMBERS[name].encode())
    assert (entities, relations) == (("x", "y", "z"), ("p", "q"))
    assert [part.tolist() for part in parts] == [[[0, 1, 1], [2, 0, 0]], [], [[1, 1, 2]]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train2id.txt", "3\n0 1 1\n", "states 3 facts and has 1"),
        ("train2id.txt", "1\n0 1\n", "three numbers a line"),
        ("train2id.txt", "1\n0 1 x\n", "three numbers a line"),
        ("train2id.txt", "1\n0 1 2\n", "a number without a name"),
        ("train2id.txt", "", "three numbers a line"),
        ("entity2id.txt", "2\nx\t1\ny\t0\n", "does not number its names"),
    ],
)
def test_damaged_numbers_are_refused(name, text, message):
    files = NUMBERS | {name: text}
    with pytest.raises(InputError, match=message):
        read_numbers(lambda file: files[file].encode())


def test_damaged_names_are_refused():
    with pytest.raises(InputError, match=r"train.txt, line 2"):
        read_labels(lambda name: b"a\tr\tb\na b c\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(lambda name: b"\xff\xfe")


def test_families_obey_the_rules_of_kinship():
    rows, people = families(people=40, seed=3)
    facts = {(head, KIN[relation], tail) for head, relation, tail in rows.tolist()}
    assert len(facts) == len(rows)
    assert people >= 40
    parents = {}
    for head, relation, tail in facts:
        if relation in ("has_father", "has_mother"):
            parents.setdefault(head, set()).add(tail)
        if relation in ("married_to", "sibling_of", "cousin_of"):
            assert (tail, relation, head) in facts
        if relation == "father_of":
            assert (tail, "has_father", head) in facts
    for head, relation, tail in facts:
        if relation == "sibling_of":
            assert parents[head] == parents[tail]
        if relation in ("uncle_of", "aunt_of"):
            assert any((head, "sibling_of", parent) in facts for parent in parents[tail])
        if relation == "cousin_of":
            pairs = [(a, "sibling_of", b) in facts for a in parents[head] for b in parents[tail]]
            assert any(pairs)
        if relation in ("grandfather_of", "grandmother_of"):
            assert any(head in parents.get(parent, ()) for parent in parents[tail])
            assert (tail, "grandchild_of", head) in facts


def test_families_are_always_here():
    assert is_here("families")
    graph = load_knowledge_graph("families")
    known = graph.known
    assert len(torch.unique(known, dim=0)) == len(known)
    assert load_knowledge_graph("families") is graph
    assert "121 entities" in repr(graph)


@pytest.mark.parametrize("name", ["kinships", "umls"])
def test_graphs_inside_pykeen(name):
    if not is_here(name):
        pytest.skip("PyKEEN, whose package has the files, is not installed")
    graph = load_knowledge_graph(name)
    assert int(graph.known[:, [0, 2]].max()) == graph.num_entities - 1
    assert int(graph.known[:, 1].max()) == graph.num_relations - 1


@pytest.mark.skipif(not (FOLDER / ARCHIVE).is_file(), reason=f"{ARCHIVE} is not in the folder "
                    "BEQUEST_SHARED_DATA")  # fmt: skip
def test_fb15k_237(tmp_path, monkeypatch):
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    (tmp_path / ARCHIVE).symlink_to(FOLDER / ARCHIVE)
    graph = load_knowledge_graph("fb15k-237")
    assert (graph.num_entities, graph.num_relations) == (14_541, 237)
    assert len(graph.train) == 272_115


def test_a_graph_that_cannot_be_had_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))

    def fails(file, folder, progress):
        raise InputError("no network")

    monkeypatch.setattr("bequest.data.knowledge.download", fails)
    monkeypatch.setattr("bequest.data.knowledge.package_folder", lambda name: None)
    assert not is_here("umls")
    with pytest.raises(InputError, match="pip install pykeen"):
        load_knowledge_graph("umls")
    with pytest.raises(InputError, match="Did you mean umls"):
        load_knowledge_graph("ulms")
