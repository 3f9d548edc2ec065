"""Streams of the pip-only sizes: what arrives, what is asked, what depends on the seed."""

from __future__ import annotations

import pytest
import torch

from bequest import data
from bequest.studies.continual.coca import arms
from bequest.studies.continual.setting import SETTINGS, SIZES, network_for, stream_for, student

PIP_ONLY = ("default", "smoke", "rotated", "mnist-360")


@pytest.mark.parametrize("size", PIP_ONLY)
def test_network_and_exams_fit_the_stream(size: str) -> None:
    setting = SETTINGS[size]
    images = data.load(setting.data)
    stream, exams = stream_for(setting, images, seed=0)
    network = network_for(setting, images, seed=0)
    with torch.no_grad():
        assert network(stream.images[:2] / 255).shape == (2, setting.num_classes)
    assert student(size)["image_size"] == stream.image_size
    asked = sum(len(exam.images) for exam in exams)
    shown = int((images.test_labels < setting.num_classes).sum())
    assert asked == shown * max(len(setting.degrees), 1)
    assert {label for named in stream.classes for label in named} == set(range(setting.num_classes))


def test_streams_depend_on_the_seed_alone() -> None:
    setting = SETTINGS["smoke"]
    images = data.load(setting.data)
    one, again, other = (stream_for(setting, images, seed=seed)[0] for seed in (0, 0, 1))
    assert torch.equal(one.batches, again.batches)
    assert not torch.equal(one.batches, other.batches)


def test_mnist_360_shows_nine_tenths_once() -> None:
    setting = SETTINGS["mnist-360"]
    stream, _ = stream_for(setting, data.load(setting.data), seed=0)
    shown = stream.batches.flatten()
    assert len(stream.ends) == 27
    assert len(shown) == len(shown.unique()) > 3500


@pytest.mark.parametrize("size", SIZES)
def test_arms_share_memory_and_steps(size: str) -> None:
    found = arms(size)
    kept = {arm.buffer_size for name, arm in found.items() if name not in ("fine-tuning", "joint")}
    assert len(kept) == 1
    assert len({(arm.learning_rate, arm.crop_padding, arm.flip) for arm in found.values()}) == 1
    assert (found["coca"].alpha, found["coca"].beta) == (
        found["der-plus-plus"].alpha,
        found["der-plus-plus"].beta,
    )
