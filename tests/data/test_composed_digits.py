"""Scenes of digits on textures: labels lie under the ink, and are the same everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bequest.data.composed_digits import composed_digits, textures
from bequest.data.label_maps import IGNORED
from bequest.errors import InputError

SCENES = composed_digits("digits", side=16, digit=8, each=2, classes=3, train=50)


def test_sizes_and_parts() -> None:
    assert repr(SCENES).startswith("SegmentationData('composed-digits-16-8-2-3-50', 50 + 10 + 10")
    assert SCENES.image_size == (1, 16, 16)
    assert SCENES.class_names == ("background", "0", "1", "2")
    assert SCENES.num_classes == 4


def test_ink_is_brighter_than_what_surrounds_it_and_each_scene_has_its_digits() -> None:
    images, labels = SCENES.train_images[:, 0].float(), SCENES.train_labels
    assert images[labels > 0].mean() > 1.5 * images[labels == 0].mean()
    seen = [set(one[one > 0].unique().tolist()) for one in labels]
    assert all(1 <= len(classes) <= 2 for classes in seen)
    assert set().union(*seen) == {1, 2, 3}


def test_scenes_do_not_depend_on_the_global_random_state() -> None:
    torch.manual_seed(1)
    again = composed_digits.__wrapped__("digits", side=16, digit=8, each=2, classes=3, train=50)
    assert torch.equal(again.train_images, SCENES.train_images)
    assert torch.equal(again.test_labels, SCENES.test_labels)


def test_textures_are_in_range_and_differ() -> None:
    made = textures(6, 16, torch.Generator().manual_seed(0))
    assert made.shape == (6, 16, 16)
    assert 0 <= made.min() < made.max() <= 1
    assert made.std(0).mean() > 0.05


@pytest.mark.parametrize(
    "options", [{"digit": 9}, {"each": 5}, {"each": 0}, {"classes": 11}, {"train": 4}]
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, int]) -> None:
    sizes = {"side": 16, "digit": 8, "each": 2, "train": 50, **options}
    with pytest.raises(InputError, match="digits"):
        composed_digits("digits", **sizes)


def test_maps_that_do_not_fit_their_images_are_refused() -> None:
    with pytest.raises(InputError, match="one a pixel"):
        replace(SCENES, test_labels=SCENES.test_labels[:, :8])
    with pytest.raises(InputError, match=f"no class have label {IGNORED}"):
        replace(SCENES, test_labels=torch.full_like(SCENES.test_labels, 9))
    with pytest.raises(InputError, match="as in training"):
        replace(SCENES, validation_images=SCENES.validation_images.float())
    with pytest.raises(InputError, match="means and deviations"):
        replace(SCENES, mean=(0.1, 0.2))
