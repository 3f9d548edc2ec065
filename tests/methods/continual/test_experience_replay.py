"""The baselines against loops of plain PyTorch, and their special cases."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.memory.protocols import class_incremental, exams_by_task
from bequest.memory.replay import reservoir_places
from bequest.memory.stream import Stream
from bequest.methods.base import change
from bequest.methods.continual.experience_replay import ExperienceReplay
from bequest.nn import zoo
from bequest.run import Run
from bequest.testing import fingerprint

DER = ExperienceReplay(
    alpha=0.5, beta=0.7, buffer_size=10, replay_batch=6, crop_padding=0, flip=False
)


def stream() -> Stream:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(256, (64, 1, 8, 8), generator=rng, dtype=torch.uint8)
    return class_incremental(
        images,
        torch.arange(64) % 4,
        tasks=((0, 1), (2, 3)),
        num_classes=4,
        batch_size=8,
        rng=rng,
        epochs=2,
    )


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return zoo.build("convnet4", num_classes=4, in_channels=1)


def fit(method: ExperienceReplay) -> tuple[nn.Module, dict[str, float]]:
    s = stream()
    exams = exams_by_task(s.images, s.labels, tasks=((0, 1), (2, 3)))
    with Run(device="cpu", precision="fp32") as run:
        result = method.fit(network(), stream=s, exams=exams, run=run)
    return result.model, result.metrics


def plain_loop(*, alpha: float, beta: float, capacity: int) -> nn.Module:
    """DER++ as one would write it, with the same draws."""
    s, model = stream(), network()
    with Run(device="cpu") as run:
        draws, kept = run.stream("replay"), run.stream("reservoir")
        memory: list[tuple[Tensor, Tensor, Tensor]] = []

        def draw() -> tuple[Tensor, Tensor, Tensor]:
            places = torch.randperm(len(memory), generator=draws)[:6].tolist()
            images, labels, logits = (torch.stack(c) for c in zip(*(memory[p] for p in places)))
            return images.float() / 255, labels, logits

        model.train()
        for step in range(len(s)):
            images, labels = s.batch(step)
            out = model(images.float() / 255)
            loss = F.cross_entropy(out, labels)
            if memory and alpha:
                x, _, then = draw()
                loss = loss + alpha * F.mse_loss(model(x), then)
            if memory and beta:
                x, y, _ = draw()
                loss = loss + beta * F.cross_entropy(model(x), y)
            model.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.03 * p.grad
            for i in range(len(labels)):
                if not capacity:
                    break
                place = int(reservoir_places(1, step * 8 + i, capacity, kept))
                sample = (images[i], labels[i], out[i].detach())
                if place == len(memory):
                    memory.append(sample)
                elif place >= 0:
                    memory[place] = sample
    return model


def weights(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize(
    ("alpha", "beta", "capacity"),
    [(0.5, 0.7, 10), (0.0, 0.7, 10), (0.5, 0.0, 10), (0.5, 0.7, 0)],
    ids=["der++", "er", "der", "fine-tuning"],
)
def test_it_is_the_plain_loop(alpha: float, beta: float, capacity: int) -> None:
    ours, _ = fit(change(DER, alpha=alpha, beta=beta, buffer_size=capacity))
    plain = plain_loop(alpha=alpha, beta=beta, capacity=capacity)
    torch.testing.assert_close(weights(ours), weights(plain), rtol=1e-3, atol=1e-5)
    assert not torch.equal(weights(ours), weights(network()))


def test_joint_training_sees_all_classes_from_the_start() -> None:
    alone = change(DER, buffer_size=0)
    mixed, figures = fit(change(alone, joint=True))
    in_order, _ = fit(alone)
    assert fingerprint(mixed) != fingerprint(in_order)
    assert figures["forgetting"] == 0  # there is one stretch


def test_what_is_stored_is_seen_in_other_views() -> None:
    cropped: dict[str, Any] = {"crop_padding": 2, "flip": True}
    assert fingerprint(fit(DER)[0]) != fingerprint(fit(change(DER, **cropped))[0])
