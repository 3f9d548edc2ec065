"""What a data set in memory refuses to be."""

from __future__ import annotations

import pytest
import torch

from bequest.data import ImageData
from bequest.errors import InputError


def make(**changes):
    arguments = {
        "name": "toy",
        "train_images": torch.zeros(4, 3, 5, 6, dtype=torch.uint8),
        "train_labels": torch.tensor([0, 1, 1, 0]),
        "test_images": torch.zeros(2, 3, 5, 6, dtype=torch.uint8),
        "test_labels": torch.tensor([1, 0]),
        "class_names": ("cat", "dog"),
        "mean": (0.5, 0.5, 0.5),
        "std": (0.2, 0.2, 0.2),
        "mirrored": True,
        "licence": "none",
        "source": "nowhere",
    }
    return ImageData(**{**arguments, **changes})


def test_knows_its_size():
    images = make()
    assert images.image_size == (3, 5, 6)
    assert images.num_classes == 2
    assert images.train_images.is_contiguous(memory_format=torch.channels_last)
    assert repr(images) == "ImageData('toy', 4 + 2 images of 3x5x6, 2 classes)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": torch.zeros(4, 3, 5, 6)}, "toy, train: images must be uint8"),
        ({"test_images": torch.zeros(2, 5, 6, dtype=torch.uint8)}, "toy, test: images must be"),
        ({"train_labels": torch.tensor([0, 1, 1])}, "4 images need as many int64 labels"),
        ({"train_labels": torch.zeros(4)}, r"not torch.float32"),
        ({"test_labels": torch.tensor([0, 2])}, "from 0 to 2, but there are 2 classes"),
        ({"test_labels": torch.tensor([0, -1])}, "from -1 to 0"),
        ({"test_images": torch.zeros(2, 3, 6, 6, dtype=torch.uint8)}, "must be of one size"),
        ({"mean": (0.5,)}, "3 channels need as many means and deviations, not 1 and 3"),
        (
            {
                "test_images": torch.zeros(0, 3, 5, 6, dtype=torch.uint8),
                "test_labels": torch.zeros(0, dtype=torch.int64),
            },
            "toy, test: there are no images",
        ),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        make(**changes)
