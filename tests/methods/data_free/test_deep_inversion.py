from __future__ import annotations

import hashlib
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.competition import jensen_shannon
from bequest.methods.base import change
from bequest.methods.data_free.deep_inversion import DeepInversion
from bequest.nn import zoo
from bequest.nn.modes import frozen
from bequest.nn.normalize import Normalized
from bequest.run import Run
from bequest.synthesis.priors import total_variation
from bequest.synthesis.statistics import BatchNormStatistics

WEIGHTS = ("task_weight", "bn_weight", "tv_weight", "l2_weight", "competition_weight")
OFF = dict.fromkeys(WEIGHTS, 0.0)
MEAN, STD = 0.3, 0.2


def tiny(**changes):
    values = dict(rounds=2, student_steps=3, synthesis_batch=16, batch_size=8, inversion_steps=3)
    return DeepInversion(**values | dict(shift=1, crop_padding=1) | changes)


def network(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = zoo.build("convnet4", num_classes=3, in_channels=1)
        for layer in built.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.3)
                layer.running_var.uniform_(0.5, 2)
    return Normalized(built, [MEAN], [STD])


def without_batch_norm():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def fit(method, *, teacher=None, student=None, run=None, monitor=None):
    run = run or Run(seed=0, device="cpu", precision="fp32")
    with run:
        return method.fit(
            teacher or network(0),
            student or network(1),
            image_size=(1, 8, 8),
            num_classes=3,
            run=run,
            monitor=monitor,
        )


def invert(method, *, teacher=None, student=None):
    """Images and terms of one inversion."""
    teacher, student = teacher or network(0), student or network(1)
    statistics = BatchNormStatistics(teacher) if method.bn_weight else None
    with Run(seed=0, device="cpu", precision="fp32") as run, frozen(teacher):
        return method.invert(
            teacher, student, statistics, image_size=(1, 8, 8), num_classes=3, run=run
        )


def digest(module):
    value = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        value.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return value.hexdigest()


def test_fit_moves_the_student_and_leaves_the_teacher_untouched():
    teacher, student = network(0).train(), network(1)
    before, start = digest(teacher), digest(student)
    run = Run(seed=0, device="cpu", precision="fp32")
    result = fit(tiny(), teacher=teacher, student=student, run=run)
    assert digest(teacher) == before
    assert all(p.grad is None and p.requires_grad for p in teacher.parameters())
    assert all(m.training and not m._forward_pre_hooks for m in teacher.modules())
    assert digest(result.model) != start
    assert {"agreement", "class_entropy", "confidence"} <= set(result.metrics)
    logged = {name for row in run.metrics.rows for name in row}
    assert {"task", "bn", "tv", "competition", "loss"} <= logged
    assert {"inversion", "distillation"} <= set(result.flops)


def test_without_any_term_the_images_stay_the_noise_they_were():
    images, _ = invert(tiny(**OFF, inversion_steps=4))
    again, _ = invert(tiny(**OFF, inversion_steps=1))
    assert torch.equal(images, again)
    assert images.shape == (16, 1, 8, 8)
    # Standard normal in the teacher's units, cut to [0, 1].
    assert images.min() == 0
    assert images.max() <= 1
    assert images.median().item() == pytest.approx(MEAN, abs=0.03)


def figure(name, images):
    """What a term should lower, measured apart from it."""
    teacher, student = network(0).eval(), network(1).eval()
    values = (images - MEAN) / STD
    with torch.no_grad():
        if name == "tv_weight":
            return total_variation(values).item()
        if name == "l2_weight":
            return values.square().sum((1, 2, 3)).sqrt().mean().item()
        if name == "competition_weight":
            return -jensen_shannon(student(images), teacher(images), temperature=3.0).mean().item()
        if name == "bn_weight":
            with BatchNormStatistics(teacher) as statistics:
                teacher(images)
                return statistics.loss().item()
        targets = drawn_targets()
        return F.cross_entropy(teacher(images), targets).item()


def drawn_targets():
    """The classes that `invert` draws after its noise."""
    with Run(seed=0, device="cpu", precision="fp32") as run:
        rng = run.stream("inversion")
        torch.randn(16, 1, 8, 8, generator=rng)
        return torch.randint(3, (16,), generator=rng)


@pytest.mark.parametrize("name", WEIGHTS)
def test_each_term_alone_lowers_what_it_is_for(name):
    settings = dict(shift=0, flip=False, inversion_steps=15)
    start, _ = invert(tiny(**OFF, **settings))
    images, terms = invert(tiny(**OFF | {name: 1.0}, **settings))
    assert figure(name, images) < figure(name, start) - 1e-3
    assert set(terms) == {"task", name.removesuffix("_weight")}
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_weight_of_zero_takes_its_term_out(name):
    everything = tiny(l2_weight=1e-3)
    _, terms = invert(everything)
    images, fewer = invert(change(everything, **{name: 0.0}))
    assert set(terms) - set(fewer) == {name.removesuffix("_weight")} - {"task"}
    assert not torch.equal(images, invert(everything)[0])


def test_without_competition_the_student_is_never_asked():
    class Silent(nn.Module):
        def forward(self, images):
            raise AssertionError

    invert(tiny(competition_weight=0.0), student=Silent())
    with pytest.raises(AssertionError):
        invert(tiny(), student=Silent())


def test_the_images_of_the_smallest_loss_are_kept():
    wild = dict(shift=0, flip=False, lr_pixels=50.0, inversion_steps=6, tv_weight=1.0)
    start, _ = invert(tiny(**OFF))
    images, terms = invert(tiny(**OFF | wild))
    assert terms["tv"] > figure("tv_weight", start)
    assert figure("tv_weight", images) <= figure("tv_weight", start)


def test_shifts_and_flips_move_the_whole_batch_before_the_teacher_looks():
    seen = []

    class Looking(nn.Module):
        def forward(self, images):
            seen.append(images.detach().clone())
            return images.flatten(1)[:, :3]

    start, _ = invert(tiny(**OFF, inversion_steps=40, shift=2), teacher=Looking().eval())
    # Without a wrapper the constants are 0.5 and 0.25.
    moves = [
        (rolled.flip(3) if flip else rolled, (down, right, flip))
        for down in range(-2, 3)
        for right in range(-2, 3)
        for flip in (False, True)
        for rolled in [start.roll((down, right), (2, 3))]
    ]
    found = [next(m for moved, m in moves if torch.equal(moved, look)) for look in seen[:40]]
    assert {down for down, _, _ in found} == {right for _, right, _ in found} == set(range(-2, 3))
    assert {flip for _, _, flip in found} == {False, True}


def test_a_teacher_without_batch_norm_is_refused_unless_its_statistics_are_not_asked():
    with pytest.raises(InputError, match="no BatchNorm layer"):
        fit(tiny(), teacher=without_batch_norm())
    result = fit(tiny(bn_weight=0.0), teacher=without_batch_norm())
    assert math.isfinite(result.metrics["agreement"])


def test_a_run_repeats_to_the_last_bit():
    assert digest(fit(tiny()).model) == digest(fit(tiny()).model)


def test_a_broken_off_run_goes_on_to_the_same_weights(tmp_path):
    def broken(network):
        if run.step >= 3:
            raise KeyboardInterrupt
        return {}

    options = dict(seed=0, device="cpu", precision="fp32", checkpoint_seconds=0.0)
    run = Run(tmp_path, **options)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny(), run=run, monitor=broken)
    run = Run(tmp_path, resume=True, **options)
    resumed = fit(tiny(), run=run, monitor=lambda network: {})
    assert digest(resumed.model) == digest(fit(tiny()).model)
