"""A run stopped while it fine-tunes, and what arms share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch

from bequest import catalog
from bequest.errors import StoppedError
from bequest.methods.base import change
from bequest.run import Result, Run
from bequest.studies.self_supervised import setting
from bequest.studies.self_supervised.tinymim import study
from bequest.testing import fingerprint


class StopAfter:
    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def asked(self) -> bool:
        self.left -= 1
        return self.left < 0

    @contextmanager
    def listen(self) -> Iterator[None]:
        yield


def smoke(folder: Path, *, resume: bool = False) -> Result:
    method = change(study.arm("sequential", "smoke")[1], steps=4)
    with Run(folder, device="cpu", precision="fp32", resume=resume) as run:
        return study.execute(method, "smoke", run)


def test_a_run_stopped_in_fine_tuning_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = smoke(tmp_path / "whole")
    for stop, name in ((6, "second student"), (12, "fine-tuning")):
        with (
            mock.patch("bequest.run.run.StopRequest", lambda stop=stop: StopAfter(stop)),
            pytest.raises(StoppedError),
        ):
            smoke(tmp_path / name)
        resumed = smoke(tmp_path / name, resume=True)
        assert fingerprint(whole.model) == fingerprint(resumed.model), name
        assert whole.metrics == resumed.metrics, name
        same = [(tmp_path / f / "model.safetensors").read_bytes() for f in ("whole", name)]
        assert same[0] == same[1], "the file holds other weights"


def test_labels_are_few_of_each_class_and_the_margin_is_cut() -> None:
    small = setting.SETTINGS["smoke"]
    images = setting.images_of(replace(small, margin=1))
    assert images.image_size == (1, 6, 6)
    whole = setting.images_of(small)
    assert torch.equal(images.test_images, whole.test_images[..., 1:-1, 1:-1])
    pixels, labels = setting.labelled(small, whole)
    assert len(pixels) == 100
    assert torch.bincount(labels).min() >= 9
    everything = setting.labelled(replace(small, labelled=10**6), whole)
    assert len(everything[0]) == len(whole.train_images)


def test_long_mae_costs_at_least_as_much_as_tinymim(tmp_path: Path) -> None:
    flops = {}
    for arm in ("tinymim", "mae-long"):
        method = change(study.arm(arm, "default")[1], steps=1, batch_size=8)
        size = setting.SETTINGS["default"]
        images = setting.images_of(size)
        teacher, student = (
            setting.untrained(one, size, images, seed=0) for one in (size.teacher, size.student)
        )
        networks = (teacher, student) if arm == "tinymim" else (student,)
        with Run(device="cpu", precision="fp32") as run:
            result = method.fit(
                *networks, images=images.train_images[:99], image_size=images.image_size, run=run
            )
        flops[arm] = sum(v for k, v in result.flops.items() if k != "evaluation")
    steps = {arm: study.arm(arm, "default")[1].steps for arm in flops}
    assert flops["mae-long"] * steps["mae-long"] >= flops["tinymim"] * steps["tinymim"]


def test_both_are_in_the_catalogue() -> None:
    assert {"tinymim", "mae"} <= set(catalog.methods())
