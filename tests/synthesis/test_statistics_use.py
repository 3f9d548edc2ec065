"""How the BatchNorm prior comes and goes: a teacher left as it was, misuse refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.synthesis.statistics import BatchNormStatistics


class NormThenDouble(nn.BatchNorm2d):
    """A layer that does more than its base class, and is therefore listened to by a hook."""

    def forward(self, input):
        return 2 * super().forward(input)


def small_teacher(*, norm=nn.BatchNorm2d):
    layers = [nn.Conv2d(3, 6, 3), norm(6), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3), norm(8)]
    return nn.Sequential(*layers).eval()


def batch_of():
    return torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, NormThenDouble])
def test_teacher_is_as_before_also_after_an_error(norm):
    teacher = small_teacher(norm=norm)
    before = copy.deepcopy(teacher.state_dict())

    def interrupted():
        with BatchNormStatistics(teacher) as statistics:
            teacher(batch_of())
            statistics.loss().backward()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for layer in teacher.modules():
        assert "forward" not in vars(layer)
        assert not layer._forward_pre_hooks
    after = teacher.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_refusals_at_the_door():
    with pytest.raises(InputError, match=r"no BatchNorm layer.*Take a teacher with BatchNorm"):
        BatchNormStatistics(nn.Sequential(nn.Linear(3, 3), nn.InstanceNorm1d(3)))
    forgetful = [nn.BatchNorm1d(3, track_running_stats=False) for _ in range(2)]
    with pytest.raises(InputError, match="none of its 2 BatchNorm layers keeps"):
        BatchNormStatistics(nn.Sequential(*forgetful))
    for momentum in (-0.1, 1.0):
        with pytest.raises(InputError, match=f"momentum .* {momentum}"):
            BatchNormStatistics(small_teacher(), momentum=momentum)
    teacher = small_teacher()
    teacher[4].train()
    with pytest.raises(InputError, match=r"eval\(\)"), BatchNormStatistics(teacher):
        pass


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, NormThenDouble])
def test_refusals_in_use(norm):
    teacher = small_teacher(norm=norm)
    statistics = BatchNormStatistics(teacher, momentum=0.9)
    with pytest.raises(InputError, match="before update_history"):
        statistics.update_history()
    with statistics:
        for nested in (statistics, BatchNormStatistics(teacher[4:])):
            with pytest.raises(InputError, match="already report"), nested:
                pass
        teacher(batch_of())
        statistics.loss()
        statistics.update_history()
        with pytest.raises(InputError, match="before update_history"):
            statistics.update_history()
        with pytest.raises(InputError, match=r"run teacher\(images\)"):
            statistics.loss()
        teacher[:2](batch_of())
        with pytest.raises(InputError, match="reset"):
            statistics.loss()
        teacher.train()
        with pytest.raises(InputError, match=r"'1' .* training mode"):
            teacher(batch_of())
    assert teacher[1].forward.__func__ is type(teacher[1]).forward
