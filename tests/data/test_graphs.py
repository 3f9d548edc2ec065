"""Sets of graphs: the TU format on files of the test's own, digits, and the real molecules."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
import torch

from bequest.data.graph_catalog import COLLECTED, GRAPHS
from bequest.data.graphs import load_graphs, pixel_graphs
from bequest.data.tu_format import read_tu
from bequest.errors import InputError

FOLDER = Path(os.environ.get("BEQUEST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_molecules = pytest.mark.skipif(
    not (FOLDER / COLLECTED).is_file(),
    reason=f"{COLLECTED} (MUTAG and DHFR) is not in the folder BEQUEST_SHARED_DATA",
)

# Two graphs: a path of three nodes, given in mixed order and with a self-loop, and a single edge.
FILES = {
    "T_A.txt": "5, 4\n1, 2\n2, 1\n4, 5\n3, 3\n2, 3\n3, 2\n",
    "T_graph_indicator.txt": "1\n1\n1\n2\n2\n",
    "T_graph_labels.txt": "1\n-1\n",
    "T_node_labels.txt": "7\n2\n7\n2\n9\n",
    "T_node_attributes.txt": " 1.5, 2\n 0, 1e-3\n -1, 0\n 0, 0\n 3, 4\n",
}


def read(files=FILES, feature_type="onehot", **options):
    return read_tu(lambda name: files[name].encode(), "T", feature_type=feature_type, **options)


def test_the_text_format():
    graphs, labels = read()
    assert labels.tolist() == [1, 0]  # -1 is the first class
    assert graphs.owner.tolist() == [0, 0, 0, 1, 1]
    assert graphs.edges.T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1], [4, 3], [3, 4]]
    assert graphs.features.argmax(1).tolist() == [1, 0, 1, 0, 2]
    assert graphs.features.shape == (5, 3)


def test_features_of_the_other_types():
    graphs, _ = read(feature_type="degree", num_degrees=2)
    assert graphs.features.tolist() == [[0.0, 1.0]] * 5
    graphs, _ = read(feature_type="continuous")
    assert graphs.features[1].tolist() == pytest.approx([0.0, 1e-3])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("A", "1, 2\n1, x\n", "T_A.txt is no table of numbers"),
        ("A", "1, 9\n", "pairs of the nodes 1 to 5"),
        ("A", "1, 4\n", "from one graph to another"),
        ("graph_indicator", "1\n1\n2\n1\n2\n", "graphs 1 to 2, each at least once"),
        ("graph_indicator", "1\n1\n1\n1\n1\n", "graphs 1 to 2, each at least once"),
        ("node_labels", "1\n2\n", "2 lines for 5 nodes"),
        ("node_labels", "\u00e9\n" * 5, "no table of numbers"),
    ],
)
def test_damaged_files_are_refused(name, text, message):
    with pytest.raises(InputError, match=message):
        read(FILES | {f"T_{name}.txt": text})


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="no feature type 'label'"):
        read(feature_type="label")
    with pytest.raises(InputError, match="Did you mean mutag"):
        load_graphs("mutagen")


def test_digits_become_the_graphs_of_their_ink():
    picture = torch.zeros(2, 3, 3, dtype=torch.uint8)
    picture[0, 0, 0] = picture[0, 1, 1] = picture[0, 2, 1] = 200
    picture[0, 0, 2] = 127  # too little ink
    picture[1, 2, 2] = 255
    graphs = pixel_graphs(picture)
    assert graphs.owner.tolist() == [0, 0, 0, 1]
    assert graphs.features.argmax(1).tolist() == [0, 1, 2, 2]
    assert sorted(graphs.edges.T.tolist()) == [[0, 1], [1, 0], [1, 2], [2, 1]]


def test_the_embedded_set_is_what_its_row_says():
    graphs = load_graphs("digit-graphs")
    assert repr(graphs).endswith("1347 + 450 graphs, 8 features a node, 10 classes)")
    assert graphs.majority == pytest.approx(0.1, abs=0.005)
    assert load_graphs("digit-graphs") is graphs
    edges = graphs.train.edges
    both = {tuple(edge) for edge in edges.T.tolist()}
    assert all((target, source) in both for source, target in both)


def molecules(name, folder, monkeypatch):
    monkeypatch.setenv("BEQUEST_CACHE", str(folder))
    return load_graphs(name)


@needs_molecules
@pytest.mark.parametrize(("name", "features", "largest"), [("mutag", 7, 38), ("dhfr", 9, 138)])
def test_the_real_molecules(name, features, largest, tmp_path, monkeypatch):
    (tmp_path / COLLECTED).symlink_to(FOLDER / COLLECTED)
    graphs = molecules(name, tmp_path, monkeypatch)
    entry = GRAPHS[name]
    assert len(graphs.train) + len(graphs.test) == entry.graphs
    assert len(graphs.test) == entry.test
    assert graphs.num_features == features
    assert graphs.majority * entry.test == pytest.approx(largest)


@needs_molecules
def test_unpacked_files_are_read_from_a_folder_of_the_sets_name(tmp_path, monkeypatch):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / COLLECTED).symlink_to(FOLDER / COLLECTED)
    (tmp_path / "plain" / "mutag").mkdir(parents=True)
    with tarfile.open(FOLDER / COLLECTED) as archive:
        for file in GRAPHS["mutag"].files:
            stream = archive.extractfile(f"MUTAG/{file.name}")
            (tmp_path / "plain" / "mutag" / file.name).write_bytes(stream.read())
    packed = molecules("mutag", tmp_path / "packed", monkeypatch)
    plain = molecules("mutag", tmp_path / "plain", monkeypatch)
    assert torch.equal(packed.test.edges, plain.test.edges)
    assert torch.equal(packed.train_labels, plain.train_labels)


def test_a_damaged_archive_is_refused(tmp_path, monkeypatch):
    (tmp_path / COLLECTED).write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as an archive"):
        molecules("mutag", tmp_path, monkeypatch)
    with tarfile.open(tmp_path / COLLECTED, "w:xz"):
        pass

    with pytest.raises(InputError, match=r"lacks MUTAG/MUTAG_A\.txt"):
        molecules("mutag", tmp_path, monkeypatch)


def test_without_files_and_network_it_is_said_where_to_put_them(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no network")

    monkeypatch.setattr("bequest.data.download._open", refuse)
    with pytest.raises(InputError, match=r"TU files MUTAG_\*\.txt into .*mutag"):
        molecules("mutag", tmp_path, monkeypatch)
