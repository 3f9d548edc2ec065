"""What arrives when; streams that end early and other bad input."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.memory.stream import Exam, Stream, gathered


def stream(**changes: object) -> Stream:
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 2, 2)
    settings = {
        "images": images,
        "labels": labels,
        "batches": torch.tensor([[0, 2], [3, 1], [4, 5]]),
        "ends": (2, 3),
        "classes": ((0, 1), (2,)),
        "num_classes": 3,
    }
    return Stream(**(settings | changes))


def test_batches_come_in_their_order() -> None:
    s = stream()
    assert len(s) == 3
    assert [s.batch(step)[1].tolist() for step in range(3)] == [[0, 1], [1, 0], [2, 2]]
    assert s.batch(1)[0][:, 0, 0, 0].tolist() == [3, 1]
    assert [s.stretch(step) for step in range(3)] == [0, 0, 1]
    assert s.image_size == (1, 2, 2)


def test_on_a_device_it_is_the_same() -> None:
    s = stream()
    there = s.to(torch.device("cpu"))
    for step in range(3):
        assert all(torch.equal(a, b) for a, b in zip(s.batch(step), there.batch(step)))
    assert there.images.is_contiguous(memory_format=torch.channels_last)


def test_mixed_it_holds_the_same_arrivals_in_one_stretch() -> None:
    mixed = stream().mixed(torch.Generator().manual_seed(1))
    assert sorted(mixed.batches.flatten().tolist()) == list(range(6))
    assert mixed.batches.shape == (3, 2)
    assert mixed.ends == (3,)
    assert mixed.classes == ((0, 1, 2),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ends": (2, 4), "classes": ((0, 1), (2,))}, "ends early.* after 4 batches, but only 3"),
        ({"ends": (2,), "classes": ((0, 1),)}, "1 batches arrive after the last exam"),
        ({"ends": (2, 3), "classes": ((0, 1), (2, 1))}, "announces classes"),
        ({"ends": (1, 3)}, "announces"),
        ({"ends": (3, 2)}, "rising"),
        ({"ends": ()}, "rising"),
        ({"classes": ((0, 1, 2),)}, "2 stretches have 1"),
        ({"batches": torch.zeros(0, 2, dtype=torch.int64)}, "at least one step"),
        ({"batches": torch.tensor([[0, 9]])}, "places 0 to 9"),
        ({"num_classes": 2}, "0 to 2, but there are 2 classes"),
        ({"images": torch.zeros(6, 1, 2, 2)}, "uint8"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, "6 images need as many"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stream(**changes)


def loader(count: int, size: int = 2) -> Iterator[tuple[Tensor, Tensor]]:
    for number in range(count):
        images = torch.full((size, 1, 2, 2), number, dtype=torch.uint8)
        yield images, torch.tensor([number // 2] * size)


def test_a_loader_becomes_a_stream_up_to_its_last_exam() -> None:
    rest = loader(9)
    s = gathered(rest, ends=(2, 4), num_classes=5)
    assert len(s) == 4
    assert s.classes == ((0,), (1,))
    assert s.batch(3)[0].unique().tolist() == [3]
    assert next(rest)[1].tolist() == [2, 2]  # what is not needed is not read


def test_a_loader_that_ends_early_is_refused() -> None:
    with pytest.raises(InputError, match=r"ended early, after 3 of 4 batches.*name earlier exams"):
        gathered(loader(3), ends=(2, 4), num_classes=5)
    with pytest.raises(InputError, match="after 0 of 4"):
        gathered([], ends=(2, 4), num_classes=5)


def test_batches_of_two_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="of one size"):
        gathered([*loader(1), *loader(1, size=3)], ends=(2,), num_classes=5)


def test_an_exam_asks_for_its_own_classes() -> None:
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    with pytest.raises(InputError, match=r"asks for classes \[1\]"):
        Exam(name="a", images=images, labels=torch.tensor([1, 2]), classes=(0, 2), learnt=0)
