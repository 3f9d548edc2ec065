"""The arms of PCKD's study compare what they say they compare."""

from __future__ import annotations

import pytest

from bequest.methods.distillation.kd import Distillation
from bequest.methods.distillation.pckd import PCKD
from bequest.studies.distillation.pckd import SETTINGS, arms, study


@pytest.mark.parametrize("size", list(SETTINGS))
def test_arms_share_steps_batches_and_schedule(size: str) -> None:
    made = arms(size)
    ours = made["pckd"]
    for name, arm in made.items():
        assert isinstance(arm, PCKD | Distillation)
        times = 4 if name == "kd-four-times-as-long" else 1
        assert arm.steps == times * ours.steps
        for field in ("batch_size", "schedule", "learning_rate", "crop_padding", "augmentations"):
            assert getattr(arm, field) == getattr(ours, field), (name, field)


def test_the_control_has_the_views_and_nothing_else_of_it() -> None:
    control, ours = arms("default")["kd-on-four-views"], arms("default")["pckd"]
    assert control.category_weight == control.feature_weight == control.centre_weight == 0
    assert (control.preview, control.supervised_views) == ("none", "all")
    assert (control.angle, control.views) == (ours.angle, ours.views)


def test_turns_are_compared_on_digits_alone() -> None:
    claims = {claim.id: claim for claim in study.claims}
    assert claims["digits-want-small-turns"].sizes == ("default",)
    assert {s: study.arms(s)["pckd"].angle for s in ("default", "cifar10")} == {
        "default": 15.0,
        "cifar10": 90.0,
    }
