from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.methods.base import change, configure
from bequest.methods.data_free.cmi import CMI, ContrastiveInversion, redraw
from bequest.nn import zoo
from bequest.nn.modes import frozen
from bequest.run import Run
from bequest.synthesis.generators import ImageGenerator


def tiny(**changes):
    values = dict(rounds=2, student_steps=3, synthesis_batch=16, batch_size=8, inversion_steps=3)
    values |= dict(bank_size=24, negatives=8, head_dim=8, latent_dim=6, generator_width=4)
    return CMI(**values | dict(crop_padding=1) | changes)


def network(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = zoo.build("convnet4", num_classes=3, in_channels=1)
        for layer in built.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.3)
                layer.running_var.uniform_(0.5, 2)
    return built


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


def inversion(method, run, *, student=None):
    return ContrastiveInversion(
        network(0).eval(),
        student or network(1),
        image_size=(1, 8, 8),
        num_classes=3,
        settings=method,
        run=run,
    )


@pytest.fixture
def run():
    with Run(seed=0, device="cpu", precision="fp32") as run:
        yield run


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
    assert {"task", "bn", "adversarial", "contrast", "loss"} <= logged
    assert {"inversion", "distillation"} <= set(result.flops)


def test_the_cost_of_an_inversion_is_the_same_while_the_bank_fills(run):
    """The run counts the arithmetic of its first pass; here three passes are counted."""
    from torch.utils.flop_counter import FlopCounterMode

    making = inversion(tiny(), run)
    costs = []
    for _ in range(3):
        with frozen(making.teacher), FlopCounterMode(display=False) as counter:
            making()
        costs.append(counter.get_total_flops())
    assert len(set(costs)) == 1
    assert len(making.contrast.bank) == 24


def alone(name, steps):
    """The last value of that term in an inversion without the others."""
    weights = ("bn_weight", "task_weight", "adversarial_weight", "contrast_weight")
    values = dict.fromkeys(weights, 0.0) | {f"{name}_weight": 1.0}
    values |= dict(crop_padding=0, flip=False, lr_generator=1e-2, lr_latent=0.1)
    with Run(seed=0, device="cpu", precision="fp32") as run:
        torch.manual_seed(0)
        making = inversion(tiny(**values | dict(inversion_steps=steps)), run)
        for side in (making.teacher, making.student):
            # Both always choose class 0: the adversarial term counts agreeing images only.
            side.classifier.bias.data[0] += 3
        with frozen(making.teacher):
            return making()[1][name].item()


@pytest.mark.parametrize("name", ["bn", "task", "adversarial", "contrast"])
def test_each_term_alone_lowers_what_it_is_for(name):
    assert alone(name, 30) < alone(name, 1) - 1e-3


@pytest.mark.parametrize("name", ["bn", "task", "adversarial", "contrast"])
def test_a_weight_of_zero_takes_its_term_out(name):
    def images(method):
        with Run(seed=0, device="cpu", precision="fp32") as run:
            torch.manual_seed(0)
            making = inversion(method, run)
            with frozen(making.teacher):
                return making()

    settings = tiny(lr_generator=1e-2)
    full, terms = images(settings)
    less, fewer = images(change(settings, **{f"{name}_weight": 0.0}))
    assert set(terms) - set(fewer) == {name} - {"task"}
    assert not torch.equal(full, less)


def test_without_contrast_nothing_is_remembered_and_the_discriminator_stays(run):
    making = inversion(tiny(contrast_weight=0.0), run)
    before = digest(making.contrast.head)
    with frozen(making.teacher):
        making()
    assert len(making.contrast.bank) == 0
    assert digest(making.contrast.head) == before


def test_without_adversary_the_student_is_never_asked(run):
    class Silent(nn.Module):
        def forward(self, images):
            raise AssertionError

    making = inversion(tiny(adversarial_weight=0.0), run, student=Silent())
    with frozen(making.teacher):
        making()
    with pytest.raises(AssertionError), frozen(making.teacher):
        inversion(tiny(), run, student=Silent())()


def test_the_kept_images_are_those_of_the_smallest_loss(run, monkeypatch):
    off = dict.fromkeys(("task_weight", "adversarial_weight", "contrast_weight"), 0.0)
    making, made = inversion(tiny(**off, inversion_steps=5), run), []
    measure, factors = making.statistics.loss, iter([30.0, 20.0, 1.0, 40.0, 50.0])
    monkeypatch.setattr(making.statistics, "loss", lambda: next(factors) * measure())
    making.generator.register_forward_hook(lambda *call: made.append(call[-1].detach().clone()))
    with frozen(making.teacher):
        images, _ = making()
    assert [torch.equal(images, step) for step in made] == [False, False, True, False, False]
    assert images.shape == (16, 1, 8, 8)
    assert images.min() >= 0
    assert images.max() <= 1


def test_the_bank_holds_features_of_the_kept_images(run):
    making = inversion(tiny(crop_padding=0, flip=False), run)
    with frozen(making.teacher):
        images, _ = making()
        with making.instances:
            making.teacher(images)
            features = making.instances.features
    assert torch.allclose(making.contrast.bank["whole"].float(), features, rtol=1e-2, atol=1e-2)
    assert not torch.allclose(making.contrast.bank["local"].float(), features, atol=1e-2)


def test_the_generator_is_drawn_anew_for_each_batch():
    generator = ImageGenerator(6, (1, 8, 8), width=16)
    rng = torch.Generator().manual_seed(0)
    redraw(generator, rng)
    weights = {name: p.detach().clone() for name, p in generator.named_parameters()}
    convolution = generator.body[2].weight
    assert convolution.std().item() == pytest.approx(0.02, rel=0.05)
    assert generator.body[0].weight.mean().item() == pytest.approx(1.0, abs=0.02)
    assert not any(p.any() for name, p in weights.items() if name.endswith("bias"))
    redraw(generator, rng)
    assert not torch.equal(convolution, weights["body.2.weight"])
    redraw(generator, torch.Generator().manual_seed(0))
    assert torch.equal(convolution, weights["body.2.weight"])


def test_a_teacher_without_batch_norm_is_refused():
    bare = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    with pytest.raises(InputError, match="no BatchNorm layer"):
        fit(tiny(), teacher=bare)


@pytest.mark.parametrize("area", [0.0, 1.5])
def test_an_area_out_of_range_is_refused(area):
    with pytest.raises(InputError, match="local_area"):
        configure(CMI, {"local_area": area})


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
