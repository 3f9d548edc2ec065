"""Each protocol shows what it promises, once, in the order that it promises."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.memory.protocols import (
    class_incremental,
    domain_incremental,
    exams_all_round,
    exams_by_task,
    rotating_pairs,
    split_classes,
    turned_bytes,
)


def images(count: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 1, 6, 6), generator=rng, dtype=torch.uint8)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_classes_are_split_in_order() -> None:
    assert split_classes((3, 1, 2, 0, 4), per_task=2) == ((3, 1), (2, 0), (4,))
    with pytest.raises(InputError, match="at least 1"):
        split_classes((0,), per_task=0)


def test_classes_come_task_by_task_each_image_once_an_epoch() -> None:
    labels = torch.arange(40) % 5
    s = class_incremental(
        images(40),
        labels,
        tasks=((4, 2), (0, 1)),
        num_classes=5,
        batch_size=4,
        rng=rng(),
        epochs=3,
    )
    assert s.ends == (12, 24)
    assert s.classes == ((4, 2), (0, 1))
    for step in range(24):
        expected = {4, 2} if step < 12 else {0, 1}
        assert set(s.batch(step)[1].tolist()) <= expected
    for epoch in range(6):  # 16 images fill 4 batches
        shown = s.batches[4 * epoch : 4 * epoch + 4].flatten().tolist()
        assert len(set(shown)) == 16
    assert not torch.equal(s.batches[:4], s.batches[4:8])


def test_orders_are_decided_by_the_generator() -> None:
    labels = torch.arange(40) % 4
    shared = {"tasks": ((0, 1), (2, 3)), "num_classes": 4, "batch_size": 5}
    one, again, other = (
        class_incremental(images(40), labels, rng=rng(seed), **shared) for seed in (1, 1, 2)
    )
    assert torch.equal(one.batches, again.batches)
    assert not torch.equal(one.batches, other.batches)


def test_a_task_without_a_batch_is_refused() -> None:
    labels = torch.tensor([0] * 8 + [1] * 3)
    with pytest.raises(InputError, match="ends early: task 1 has 3 images"):
        class_incremental(
            images(11), labels, tasks=((0,), (1,)), num_classes=2, batch_size=4, rng=rng()
        )


def test_a_class_belongs_to_one_task() -> None:
    with pytest.raises(InputError, match="one task"):
        class_incremental(
            images(4), torch.arange(4), tasks=((0,), (0,)), num_classes=4, batch_size=1, rng=rng()
        )


def test_a_class_without_images_is_refused() -> None:
    labels = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(InputError, match="announces"):
        class_incremental(
            images(4), labels, tasks=((0, 1),), num_classes=2, batch_size=2, rng=rng()
        )


def test_domains_come_one_after_another_with_the_same_classes() -> None:
    labels = torch.arange(12) % 2
    domains = [(torch.full((12, 1, 4, 4), d, dtype=torch.uint8), labels) for d in (10, 20, 30)]
    s = domain_incremental(domains, num_classes=2, batch_size=5, rng=rng(), epochs=2)
    assert s.ends == (4, 8, 12)
    assert s.classes == ((0, 1),) * 3
    for step in range(12):
        assert s.batch(step)[0].unique().tolist() == [10 * (1 + step // 4)]


def test_pairs_come_round_by_round_and_each_image_once() -> None:
    labels = torch.arange(400) % 4
    s = rotating_pairs(images(400), labels, num_classes=3, batch_size=5, rng=rng(), rounds=2)
    assert s.classes == ((0, 1), (1, 2), (0, 2)) * 2
    shown = s.batches.flatten()
    assert len(shown.unique()) == len(shown)
    assert len(s.images) == 300  # the class that takes no part is left out
    assert len(shown) > 300 - 5 * 6
    start = 0
    for end, pair in zip(s.ends, s.classes):
        for step in range(start, end):  # both classes in each batch, in equal proportion
            counts = torch.bincount(s.batch(step)[1], minlength=3)[list(pair)]
            assert counts.min() >= 2
        start = end


def test_images_of_a_class_turn_by_a_full_circle() -> None:
    # An arrow from the middle upwards: its direction tells how far an image was turned.
    arrow = torch.zeros(1, 1, 15, 15, dtype=torch.uint8)
    arrow[..., :7, 6:9] = 255
    labels = torch.arange(120) % 3
    s = rotating_pairs(
        arrow.repeat(120, 1, 1, 1), labels, num_classes=3, batch_size=2, rng=rng(), rounds=2
    )
    ys, xs = torch.meshgrid(torch.arange(15.0) - 7, torch.arange(15.0) - 7, indexing="ij")
    for label in range(3):
        shown = s.batches.flatten()[s.labels[s.batches.flatten()] == label]
        pixels = s.images[shown, 0].float()
        up = -(pixels * ys).sum((1, 2))
        left = -(pixels * xs).sum((1, 2))
        turned = torch.rad2deg(torch.atan2(left, up))
        expected = 60 * (label - 1) + torch.arange(40) * 9.0
        off = (turned - expected + 180) % 360 - 180
        assert off.abs().max() < 4


def test_too_few_images_for_the_rounds_are_refused() -> None:
    with pytest.raises(InputError, match="Class 0 ends early: 10 images"):
        rotating_pairs(
            images(30), torch.arange(30) % 3, num_classes=3, batch_size=4, rng=rng(), rounds=3
        )


def test_exams_ask_for_the_classes_of_their_task() -> None:
    labels = torch.arange(20) % 4
    first, second = exams_by_task(images(20), labels, tasks=((3, 0), (1,)))
    assert first.classes == (3, 0)
    assert set(first.labels.tolist()) == {0, 3}
    assert (first.learnt, second.learnt) == (0, 1)
    assert second.name == "1"
    assert len(second.images) == 5


def test_exams_all_round_turn_evenly() -> None:
    pictures = images(12)
    exams = exams_all_round(pictures, torch.arange(12) % 3, num_classes=3)
    assert [exam.learnt for exam in exams] == [0, 0, 1]
    assert torch.equal(exams[2].images[0], pictures[2])  # not turned
    assert torch.equal(exams[2].images[2], turned_bytes(pictures[8:9], 180.0)[0])
    assert exams[1].classes == (0, 1, 2)
