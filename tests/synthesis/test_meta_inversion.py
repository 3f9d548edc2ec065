"""The meta step against a written-out restatement of first-order MAML."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bequest.nn import zoo
from bequest.nn.modes import frozen
from bequest.run import Run
from bequest.synthesis.generators import ImageGenerator
from bequest.synthesis.meta_inversion import InversionSettings, MetaInversion

SETTINGS = InversionSettings(
    steps=3,
    lr_generator=1e-2,
    lr_latent=2e-2,
    bn_weight=2.0,
    task_weight=0.7,
    adversarial_weight=0.5,
    bn_momentum=0.9,
    crop_padding=0,
    flip=False,
)


def teacher_of(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    teacher = zoo.build("convnet4", num_classes=3, in_channels=1).train()
    for _ in range(3):
        teacher(torch.randn(32, 1, 8, 8))
    return teacher.eval()


def bn_inputs(teacher: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    seen: list[torch.Tensor] = []
    hooks = [
        m.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        for m in teacher.modules()
        if isinstance(m, nn.BatchNorm2d)
    ]
    logits = teacher(images)
    for hook in hooks:
        hook.remove()
    return logits, seen


def naive_rounds(rounds: int, adversarial: bool) -> tuple[nn.Module, list[torch.Tensor]]:
    """Fast's synthesis as its paper and code state it, in plain loops."""
    teacher, student = teacher_of(0), teacher_of(1)
    torch.manual_seed(2)
    generator = ImageGenerator(6, (1, 8, 8), width=4).train()
    meta = torch.optim.Adam(generator.parameters(), lr=1e-2 * 3, betas=(0.5, 0.999))
    layers = [m for m in teacher.modules() if isinstance(m, nn.BatchNorm2d)]
    history: list[tuple[torch.Tensor, torch.Tensor]] | None = None
    made = []
    with Run(seed=5, device="cpu", precision="fp32") as run:
        rng = run.stream("inversion")
        for _ in range(rounds):
            z = torch.randn(12, 6, generator=rng).requires_grad_()
            y = torch.randint(3, (12,), generator=rng)
            fast = copy.deepcopy(generator)
            inner = torch.optim.Adam(
                [{"params": fast.parameters()}, {"params": [z], "lr": 2e-2}],
                lr=1e-2,
                betas=(0.5, 0.999),
            )
            total = [torch.zeros_like(p) for p in generator.parameters()]
            best = float("inf")
            for _ in range(3):
                images = fast(z)
                logits, inputs = bn_inputs(teacher, images)
                statistics = []
                bn = torch.zeros(())
                for index, (x, layer) in enumerate(zip(inputs, layers)):
                    mean = x.mean((0, 2, 3))
                    var = ((x - mean.view(1, -1, 1, 1)) ** 2).mean((0, 2, 3))
                    if history is not None:
                        mean = 0.1 * mean + 0.9 * history[index][0]
                        var = 0.1 * var + 0.9 * history[index][1]
                    statistics.append((mean.detach(), var.detach()))
                    bn = bn + (mean - layer.running_mean).norm() + (var - layer.running_var).norm()
                loss = 2.0 * bn + 0.7 * F.cross_entropy(logits, y)
                if adversarial:
                    answer = student(images)
                    p, q = logits.softmax(1), answer.softmax(1)
                    kl = (p * (p.log() - q.log())).sum(1)
                    agree = (logits.argmax(1) == answer.argmax(1)).float()
                    loss = loss - 0.5 * (kl * agree).mean()
                if loss.item() < best:
                    best, kept = loss.item(), images.detach().clone()
                inner.zero_grad()
                loss.backward()
                for sum_, p in zip(total, fast.parameters()):
                    sum_ += p.grad
                inner.step()
            for p, gradient in zip(generator.parameters(), total):
                p.grad = gradient
            meta.step()
            history = statistics
            made.append(kept)
    return generator, made


@pytest.mark.parametrize("adversarial", [False, True])
def test_rounds_equal_the_restatement(adversarial: bool) -> None:
    expected, images = naive_rounds(3, adversarial)
    teacher, student = teacher_of(0), teacher_of(1)
    torch.manual_seed(2)
    generator = ImageGenerator(6, (1, 8, 8), width=4).train()
    with Run(seed=5, device="cpu", precision="fp32") as run, frozen(teacher):
        inversion = MetaInversion(
            teacher, student, generator, num_classes=3, settings=SETTINGS, run=run
        )
        for theirs in images:
            ours, _ = inversion(12, adversarial=adversarial)
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    for a, b in zip(generator.parameters(), expected.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=2e-3)


def test_modulation_scales_the_task_term_alone() -> None:
    def task_term(modulate: object) -> dict[str, torch.Tensor]:
        teacher, student = teacher_of(0), teacher_of(1)
        torch.manual_seed(2)
        generator = ImageGenerator(6, (1, 8, 8), width=4).train()
        settings = InversionSettings(**{**vars(SETTINGS), "steps": 1})
        with Run(seed=5, device="cpu", precision="fp32") as run, frozen(teacher):
            inversion = MetaInversion(
                teacher, student, generator, num_classes=3, settings=settings, run=run
            )
            return inversion(12, adversarial=False, modulate=modulate)[1]

    plain = task_term(None)
    halved = task_term(lambda logits: torch.full((len(logits),), 0.5))
    assert halved["task"].item() == pytest.approx(plain["task"].item() / 2, rel=1e-5)
    assert halved["bn"].item() == pytest.approx(plain["bn"].item(), rel=1e-6)


def test_the_first_layer_is_drawn_anew_once_and_alone() -> None:
    torch.manual_seed(0)
    generator = ImageGenerator(6, (1, 8, 8), width=4)
    before = {name: p.clone() for name, p in generator.named_parameters()}
    with Run(device="cpu") as run:
        teacher = teacher_of(0)
        inversion = MetaInversion(
            teacher, teacher_of(1), generator, num_classes=3, settings=SETTINGS, run=run
        )
        inversion.reset_first_layer()
    changed = {n for n, p in generator.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"first.weight", "first.bias", "body.0.weight"}
    first = generator.first.weight.clone()
    inversion.reset_first_layer()
    assert torch.equal(first, generator.first.weight)


@pytest.mark.parametrize("size", [(1, 8, 8), (3, 28, 28), (3, 32, 32), (3, 30, 44), (3, 224, 224)])
def test_generators_make_any_size(size: tuple[int, int, int]) -> None:
    images = ImageGenerator(4, size, width=2)(torch.randn(2, 4))
    assert images.shape == (2, *size)
    assert images.min() >= 0
    assert images.max() <= 1


def test_images_too_small_for_a_generator_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4x4"):
        ImageGenerator(4, (1, 3, 8))
