"""Sets of interactions: formats on files of the test's own, the generated set, the real ones."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
import torch

from bequest.data.interaction_catalog import INTERACTIONS
from bequest.data.interaction_files import movielens_folder, read_beauty, read_movielens
from bequest.data.interactions import from_events, load_interactions, split_users
from bequest.data.presence import package_folder
from bequest.errors import InputError
from bequest.ops.sequences import Sequences

FOLDER = Path(os.environ.get("BEQUEST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
ARCHIVE = INTERACTIONS["beauty"].archive
needs_beauty = pytest.mark.skipif(
    not (FOLDER / ARCHIVE).is_file(),
    reason=f"{ARCHIVE} (Amazon Beauty) is not in the folder BEQUEST_SHARED_DATA",
)
needs_recbole = pytest.mark.skipif(
    package_folder("recbole") is None, reason="recbole, whose wheel has the data, isn't installed"
)


def test_items_are_numbered_by_how_frequent_they_are():
    data = from_events([["b", "a", "b"], ["c", "b", "a"]], {"b": "x", "c": "x", "a": "y"}, least=1)
    assert data.sequences.padded().tolist() == [[1, 2, 1], [3, 1, 2]]
    assert data.categories.tolist() == [0, 0, 1, 0]
    assert data.num_items == 3


def test_rare_users_and_items_go_until_nothing_changes():
    lists = [["a", "b"], ["a", "b"], ["b", "c"], ["c", "d"]]
    # d is rare, so is the last user then, so is c, so is the third.
    data = from_events(lists, {}, least=2)
    assert len(data.sequences) == 2
    assert sorted(data.sequences.items.tolist()) == [1, 1, 2, 2]
    with pytest.raises(InputError, match="no user and item with 3 events"):
        from_events(lists, {}, least=3)


def test_nobody_is_in_two_parts_and_the_seed_decides():
    sequences = Sequences.of([[user] for user in range(1, 46)])
    split = split_users(sequences, seed=1)
    parts = [part.items.tolist() for part in (split.train, split.validation, split.test)]
    assert [len(part) for part in parts] == [37, 4, 4]
    assert sorted(user for part in parts for user in part) == list(range(1, 46))
    assert split_users(sequences, seed=1).test.items.tolist() == parts[2]
    assert split_users(sequences, seed=2).test.items.tolist() != parts[2]
    with pytest.raises(InputError, match="at least 10"):
        split_users(sequences.take(torch.arange(9)), seed=0)


def movielens(folder, inter=None, item=None):
    place = folder / "ml-100k"
    place.mkdir()
    rows = ["1\t7\t5\t30", "2\t7\t1\t10", "1\t8\t3\t20"]
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    (place / "ml-100k.inter").write_text("\n".join(inter or [head, *rows]) + "\n")
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
    rows = ["7\tSolaris\t1972\tSci-Fi Drama", "8\tThe Mirror\t1975\tDrama"]
    (place / "ml-100k.item").write_text("\n".join(item or [head, *rows]) + "\n", encoding="utf-8")
    return folder


def test_the_format_of_recbole(tmp_path):
    lists, category = read_movielens(movielens(tmp_path))
    assert lists == [["7"], ["8", "7"]]  # by time, over users and within them
    assert category == {"7": "Sci-Fi", "8": "Drama"}


def test_tables_without_the_columns_are_refused(tmp_path):
    with pytest.raises(InputError, match="no columns user_id, item_id, timestamp"):
        read_movielens(movielens(tmp_path, inter=["user_id:token\titem_id:token", "1\t2"]))


def test_where_to_get_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("bequest.data.interaction_files.package_folder", lambda _: None)
    with pytest.raises(InputError, match="pip install --no-deps recbole"):
        read_movielens(tmp_path)
    with pytest.raises(InputError, match="CIKM2020-S3Rec"):
        read_beauty(tmp_path)
    assert movielens_folder(tmp_path) is None
    with pytest.raises(InputError, match="Did you mean beauty"):
        load_interactions("beuty")


def test_a_department_is_the_attribute_that_most_products_have(tmp_path):
    (tmp_path / "beauty").mkdir()
    (tmp_path / "beauty" / "Beauty.txt").write_text("1 5 6\n2 6 7 5\n")
    labels = {"5": [9, 3], "6": [3], "7": [4, 9]}
    (tmp_path / "beauty" / "Beauty_item2attributes.json").write_text(json.dumps(labels))
    lists, category = read_beauty(tmp_path)
    assert lists == [["5", "6"], ["6", "7", "5"]]
    assert category == {"5": "3", "6": "3", "7": "9"}


def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / ARCHIVE).write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_beauty(tmp_path)
    (tmp_path / ARCHIVE).unlink()
    with tarfile.open(tmp_path / ARCHIVE, "w:xz"):
        pass
    with pytest.raises(InputError, match=r"lacks Beauty\.txt"):
        read_beauty(tmp_path)


def test_planted_users_follow_few_groups():
    data = load_interactions("planted")
    assert load_interactions("planted") is data
    sequences, categories = data.sequences, data.categories
    assert int(categories.max()) + 1 == 40
    for user in range(0, len(sequences), 50):
        items = sequences.take(torch.tensor([user])).items
        assert len(items.unique()) == len(items)
        largest = torch.bincount(categories[items]).sort(descending=True).values
        # Two to four groups, and one event in ten from anywhere.
        assert largest[:4].sum() > 0.6 * len(items)


@needs_recbole
def test_movielens_is_what_its_row_says():
    data = load_interactions("ml-100k")
    assert repr(data).endswith("943 users, 1349 items, 99287 events, 18 categories)")
    counts = torch.bincount(data.sequences.items)
    assert (counts[1:-1] >= counts[2:]).all()
    assert counts[1:].min() >= 5


@needs_beauty
def test_beauty_is_what_its_row_says(tmp_path, monkeypatch):
    (tmp_path / ARCHIVE).symlink_to(FOLDER / ARCHIVE)
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path))
    data = load_interactions("beauty")
    assert repr(data).endswith("22363 users, 12101 items, 198502 events, 7 categories)")
