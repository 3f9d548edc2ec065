"""The teacher cache: the same outputs for the same sample and seed, and no second question."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.memory.labelled import LabelledImages
from bequest.memory.teacher_cache import TeacherCache
from bequest.nn import zoo
from bequest.nn.watch import WatchTeacher
from bequest.ops.augment import seeded_crop_flip
from bequest.ops.outputs import Outputs

COUNT = 23


class Asked:
    """A real network that counts the images that it is shown."""

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = zoo.build("convnet4", num_classes=3, in_channels=1).eval()
        self.watch = WatchTeacher(network, taps=["features.2", "features"], features=True)
        self.images = 0

    def __call__(self, images: Tensor) -> Outputs:
        self.images += len(images)
        return self.watch(images)


@pytest.fixture
def pixels() -> Tensor:
    return torch.rand((COUNT, 1, 8, 8), generator=torch.Generator().manual_seed(0))


def view_of(pixels: Tensor):
    return lambda places, seed: seeded_crop_flip(pixels[places], places, seed=seed, padding=1)


def test_outputs_are_those_of_the_teacher_bit_for_bit(pixels: Tensor) -> None:
    teacher = Asked()
    cache, view = TeacherCache(teacher, COUNT), view_of(pixels)
    places = torch.tensor([3, 17, 5, 0])
    first = cache(places, 7, view)
    again = cache(places, 7, view)
    expected = teacher.watch(view(places.unique(), 7))
    order = torch.searchsorted(places.unique(), places)
    for one, two, three in zip(first.tensors(), again.tensors(), expected.tensors(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three[order])
    assert first.maps[0].is_contiguous(memory_format=torch.channels_last)


def test_only_what_is_unknown_is_asked_for(pixels: Tensor) -> None:
    teacher = Asked()
    cache, view = TeacherCache(teacher, COUNT), view_of(pixels)
    cache(torch.tensor([1, 2, 2]), 0, view)
    assert teacher.images == cache.asked == 2
    mixed = cache(torch.tensor([2, 4, 1]), 0, view)
    assert teacher.images == 3
    direct = teacher.watch(view(torch.tensor([2, 4, 1]), 0))
    for one, two in zip(mixed.tensors(), direct.tensors(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_seeds_are_kept_apart(pixels: Tensor) -> None:
    teacher = Asked()
    cache, view = TeacherCache(teacher, COUNT), view_of(pixels)
    places = torch.arange(COUNT)
    first, second = cache(places, 0, view), cache(places, 1, view)
    assert teacher.images == 2 * COUNT
    assert not torch.allclose(first.logits, second.logits)
    assert torch.equal(cache(places, 0, view).logits, first.logits)


def test_from_the_second_epoch_on_nobody_asks(pixels: Tensor) -> None:
    teacher = Asked()
    cache, view = TeacherCache(teacher, COUNT), view_of(pixels)
    rng = torch.Generator().manual_seed(0)
    outputs = []
    for _ in range(3):
        order = torch.randperm(COUNT, generator=rng)
        logits = torch.empty(COUNT, 3)
        for places in order.split(8):
            logits[places] = cache(places, 0, view).logits
        outputs.append(logits)
    assert teacher.images == COUNT
    assert cache.holds(0)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_filling_is_the_same_whenever_it_is_done(pixels: Tensor) -> None:
    caches = [TeacherCache(Asked(), COUNT) for _ in range(2)]
    view = view_of(pixels)
    device = torch.device("cpu")
    caches[0].fill(0, view, device=device, batch_size=8)
    torch.rand(3)
    caches[1].fill(0, view, device=device, batch_size=8)
    caches[1].fill(0, view, device=device, batch_size=8)
    assert caches[1].asked == COUNT
    places = torch.randperm(COUNT)
    assert torch.equal(*(cache(places, 0, view).logits for cache in caches))


def test_the_size_of_a_sample() -> None:
    example = Outputs(torch.zeros(2, 10), torch.zeros(2, 4), (torch.zeros(2, 3, 5, 5).half(),))
    assert TeacherCache.bytes_a_sample(example) == 4 * 10 + 4 * 4 + 2 * 75


def test_labelled_images_are_taken_by_place() -> None:
    images = torch.randint(256, (4, 3, 2, 2), dtype=torch.uint8)
    given = {"image_size": (3, 2, 2), "num_classes": 2, "device": torch.device("cpu")}
    data = LabelledImages(images, torch.tensor([0, 1, 1, 0]), **given)
    places = torch.tensor([2, 2, 0])
    assert torch.equal(data.take(places), images[places])
    assert len(data) == 4


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 3, 2, 2), torch.tensor([0, 1]), "float32"),
        (torch.zeros(2, 3, 2, 3, dtype=torch.uint8), torch.tensor([0, 1]), r"\(3, 2, 3\)"),
        (torch.zeros(2, 3, 2, 2, dtype=torch.uint8), torch.tensor([0]), "as many int64"),
        (torch.zeros(2, 3, 2, 2, dtype=torch.uint8), torch.tensor([0, 5]), "from 0 to 5"),
        (
            torch.zeros(2, 3, 2, 2, dtype=torch.uint8),
            torch.tensor([1, 1]),
            "of class 0",
        ),
        (torch.zeros(0, 3, 2, 2, dtype=torch.uint8), torch.tensor([]).long(), "no images"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(
    images: Tensor, labels: Tensor, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        LabelledImages(
            images, labels, image_size=(3, 2, 2), num_classes=2, device=torch.device("cpu")
        )
