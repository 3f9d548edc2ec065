"""Graphs with labelled nodes: the generated one, its stated bias, and German credit."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
import torch

from bequest.data.biased_graph import biased_graph
from bequest.data.node_graph_catalog import NODE_GRAPHS
from bequest.data.node_graphs import load_node_graph, read_german, split_nodes
from bequest.errors import InputError

FOLDER = Path(os.environ.get("BEQUEST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
ARCHIVE = NODE_GRAPHS["german"].archive
needs_german = pytest.mark.skipif(
    not (FOLDER / ARCHIVE).is_file(),
    reason=f"{ARCHIVE} (German credit) is not in the folder BEQUEST_SHARED_DATA",
)

TABLE = """GoodCustomer,Gender,Age,LoanDuration,PurposeOfLoan,LoanAmount,OtherLoansAtStore
1,Male,20,6,Electronics,1000,0
-1,Female,40,18,Education,2000,1
1,Female,30,12,Electronics,1500,0
"""
FILES = {"german.csv": TABLE, "german_edges.txt": "0.0e+00 1.0e+00\n1 0\n2 2\n1 2\n"}


def read(**changes):
    files = FILES | changes
    return read_german(lambda name: files[name].encode())


def test_the_form_of_german_credit():
    features, edges, labels, group = read()
    assert labels.tolist() == [1, 0, 1]
    assert group.tolist() == [0, 1, 1]
    # Gender, age, duration, amount; the last three scaled to [-1, 1].
    assert features.tolist() == [[0, -1, -1, -1], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert edges.T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]


@pytest.mark.parametrize(
    "changes",
    [
        {"german.csv": TABLE.replace("Gender", "Sex")},
        {"german.csv": TABLE.replace("Female", "?")},
        {"german_edges.txt": "0 one\n"},
    ],
)
def test_damaged_files_are_refused(changes):
    with pytest.raises(InputError, match="'german' cannot be read"):
        read(**changes)


def test_the_generated_bias_is_the_stated_one():
    features, edges, labels, group = biased_graph()
    rates = [labels[group == value].float().mean().item() for value in (0, 1)]
    assert rates == pytest.approx([0.6, 0.5])
    assert torch.equal(features[:, 0], group.float())
    sign = {"label": 2.0 * labels - 1, "group": 2.0 * group - 1}
    assert (features[:, 1:5] * sign["label"][:, None]).mean() == pytest.approx(0.3, abs=0.05)
    assert (features[:, 5:9] * sign["group"][:, None]).mean() == pytest.approx(0.5, abs=0.05)
    assert features[:, 9:].mean() == pytest.approx(0, abs=0.05)
    # Edges: both ways, no loops, 20 a node, three times as many within a group.
    pairs = {tuple(pair) for pair in edges.T.tolist()}
    assert all((b, a) in pairs and a != b for a, b in pairs)
    assert edges.shape[1] / 2000 == pytest.approx(20, abs=0.5)
    within = (group[edges[0]] == group[edges[1]]).float().mean().item()
    assert within == pytest.approx(0.75, abs=0.02)
    alike = (labels[edges[0]] == labels[edges[1]]).float().mean().item()
    assert alike == pytest.approx(1.3 / 2.3, abs=0.02)
    assert torch.equal(biased_graph()[1], edges)


def test_each_part_has_its_share_of_each_class_of_each_group():
    generator = torch.Generator().manual_seed(0)
    labels, group = torch.randint(2, (2, 400), generator=generator)
    parts = split_nodes(labels, group, seed=0)
    assert torch.equal(sum(part.int() for part in parts), torch.ones(400, dtype=torch.int32))
    for part, share in zip(parts, (0.5, 0.25, 0.25)):
        for label in (0, 1):
            for value in (0, 1):
                own = (labels == label) & (group == value)
                assert abs((part & own).sum() - share * own.sum()) <= 1
    assert not torch.equal(split_nodes(labels, group, seed=1)[0], parts[0])
    assert torch.equal(split_nodes(labels, group, seed=0)[0], parts[0])


def test_the_generated_set_is_what_its_row_says():
    data = load_node_graph("biased", seed=0)
    assert "groups of 1000 and 1000" in repr(data)
    assert data.majority == pytest.approx(0.55, abs=0.01)
    assert load_node_graph("biased", seed=1).graph.features is data.graph.features


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="Did you mean german"):
        load_node_graph("germany", seed=0)


@needs_german
def test_the_real_german_credit(tmp_path, monkeypatch):
    (tmp_path / ARCHIVE).symlink_to(FOLDER / ARCHIVE)
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    data = load_node_graph("german", seed=0)
    graph = data.graph
    # With the self-loops, which networks add, 44,484 entries.
    assert graph.edges.shape[1] + len(graph.labels) == 44_484
    assert graph.features.shape == (1000, 27)
    assert graph.labels.float().mean().item() == pytest.approx(0.7)
    assert int(graph.sensitive.sum()) == 310
    # Trap: the attribute itself is among the features.
    assert torch.equal(graph.features[:, 0], graph.sensitive.float())
    assert data.group_names[1] == "female"


@needs_german
def test_plain_files_in_a_folder_are_read_too(tmp_path, monkeypatch):
    with tarfile.open(FOLDER / ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    assert int(load_node_graph("german", seed=0).graph.labels.sum()) == 700


def test_without_files_and_network_it_is_said_where_to_put_them(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no network")

    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    monkeypatch.setattr("bequest.data.download._open", refuse)
    with pytest.raises(InputError, match=r"put german\.csv, german_edges\.txt into .*german"):
        load_node_graph("german", seed=0)
