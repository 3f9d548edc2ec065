from __future__ import annotations

import copy

import torch
from torch import nn

from bequest.nn.normalize import Normalized
from bequest.run import Run
from bequest.synthesis.image_source import ImageSource, normalization
from bequest.synthesis.observer import observe

TEACHER = Normalized(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), [0.3], [0.1])


def darkness(source, latent):
    """Of the upper half; that of whole images is fixed."""
    return source.generator(latent)[:, :, :4].mean()


def source_of(run, *, teacher=TEACHER):
    return ImageSource(
        teacher, (1, 8, 8), run, latent_dim=5, width=4, learning_rate=0.01, betas=(0.5, 0.999)
    )


def test_images_start_with_the_mean_and_the_spread_of_the_teachers_normalisation():
    with Run(device="cpu", precision="fp32") as run:
        source = source_of(run)
        images = source.images(source.draw(64))
    assert images.shape == (64, 1, 8, 8)
    assert images.min() >= 0
    assert images.max() <= 1
    torch.testing.assert_close(images.mean().item(), 0.3, atol=0.02, rtol=0)
    torch.testing.assert_close(images.std().item(), 0.1, atol=0.02, rtol=0)
    assert images.std(0).mean() > 0.05  # the images of a batch differ


def test_a_teacher_without_a_wrapper_gets_middling_pixels():
    mean, std = normalization(TEACHER.network)
    assert (mean.item(), std.item()) == (0.5, 0.25)


def test_what_is_cut_off_at_zero_still_lets_the_generator_learn():
    with Run(device="cpu", precision="fp32") as run:
        source = source_of(run, teacher=Normalized(TEACHER.network, [0.05], [0.4]))
        latent = source.draw(32)
        losses = []
        for _ in range(20):
            loss = darkness(source, latent)
            source.step(loss)
            losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_long_gradients_are_cut_and_the_rate_scales_the_step():
    with Run(device="cpu", precision="fp32") as run:
        source = source_of(run)
        source.step(1e4 * darkness(source, source.draw(8)), rate=0.25, max_norm=1.0)
    norms = [p.grad.norm() for p in source.generator.parameters()]
    torch.testing.assert_close(torch.stack(norms).norm().item(), 1.0, atol=1e-4, rtol=0)
    assert source.optimizer.param_groups[0]["lr"] == 0.0025


def test_held_back_images_are_fresh_and_change_no_draw_of_training():
    with Run(device="cpu", precision="fp32") as run:
        source = source_of(run)
        first, logits = source.held_back(TEACHER, count=6)
        second, _ = source.held_back(TEACHER, count=6)
        latent = source.draw(4)
    with Run(device="cpu", precision="fp32") as run:
        unwatched = source_of(run).draw(4)
    assert not torch.equal(first, second)
    torch.testing.assert_close(logits, TEACHER(first))
    assert torch.equal(latent, unwatched)


def test_a_checkpoint_brings_the_source_back():
    with Run(device="cpu", precision="fp32") as run:
        source, other = source_of(run), source_of(run)
        source.step(darkness(source, source.draw(8)))
        other.load_state_dict(copy.deepcopy(source.state_dict()))
        latent = source.draw(8)
        for twin in (source, other):
            twin.step(darkness(twin, latent))
    for ours, theirs in zip(source.generator.parameters(), other.generator.parameters()):
        assert torch.equal(ours, theirs)


def test_agreement_on_fresh_images_is_observed():
    logits = torch.tensor([[5.0, 0.0], [5.0, 0.0], [0.0, 5.0], [0.0, 5.0]])
    answers = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    student = nn.Flatten()  # the images are the answers
    with Run(device="cpu", precision="fp32") as run:
        figures = observe(
            student, None, run, None, fresh=lambda: (answers.view(4, 2, 1, 1), logits)
        )
    assert figures["agreement"] == 75.0
    torch.testing.assert_close(figures["class_entropy"], 1.0)
    torch.testing.assert_close(figures["confidence"], torch.softmax(logits, 1)[0, 0].item())
