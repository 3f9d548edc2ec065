"""Inversion in a few steps from a meta-learnt generator (Fang et al., AAAI 2022).

Each call copies the generator, takes a few Adam steps on the copy and on fresh latent vectors,
and hands back the best images of these steps. The gradients of all steps, summed, then move the
generator itself (first-order MAML), so that the next call starts closer to good images.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from bequest.losses.inversion import adversarial_loss
from bequest.nn.modes import frozen
from bequest.ops.augment import random_crop_flip
from bequest.run import Run
from bequest.synthesis.generators import ImageGenerator
from bequest.synthesis.statistics import BatchNormStatistics
from bequest.synthesis.targets import ClassTargets, Targets


@dataclass(frozen=True, kw_only=True)
class InversionSettings:
    """Weights and steps of one inversion; see `Fast` for the values of the paper."""

    steps: int
    lr_generator: float
    lr_latent: float
    bn_weight: float
    task_weight: float
    adversarial_weight: float
    bn_momentum: float
    crop_padding: int
    flip: bool

    @classmethod
    def of(cls, method: Any) -> InversionSettings:
        """The settings out of a method that has fields of these names."""
        names = {field.name: field.name for field in fields(cls)} | {"steps": "inversion_steps"}
        return cls(**{name: getattr(method, source) for name, source in names.items()})


class MetaInversion:
    """The generator, its meta-optimizer and the statistics they are held to.

    Args:
        teacher: In eval mode, with BatchNorm, on the run's device; takes images in [0, 1].
        student: What the adversarial term looks at.
        generator: Moved in place by the meta step.
        num_classes: Classes of both networks.
        settings: Weights and steps.
        run: Randomness, precision, processes.
        targets: What the teacher should see in the images; None draws a class an image, for
            networks that give one answer an image.
    """

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        generator: ImageGenerator,
        *,
        num_classes: int,
        settings: InversionSettings,
        run: Run,
        targets: Targets | None = None,
    ) -> None:
        self.teacher, self.student, self.generator = teacher, student, generator
        self.settings, self.run = settings, run
        self.targets = targets or ClassTargets(num_classes)
        self.statistics = BatchNormStatistics(teacher, momentum=settings.bn_momentum)
        self.optimizer = torch.optim.Adam(
            generator.parameters(), lr=settings.lr_generator * settings.steps, betas=(0.5, 0.999)
        )
        self.rng = run.stream("inversion")
        self.was_reset = False

    def __call__(
        self,
        count: int,
        *,
        adversarial: bool,
        modulate: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Makes `count` images.

        Args:
            count: Number of images over all processes.
            adversarial: Whether to seek images on which the student is wrong.
            modulate: Per-sample weight `(batch,)` of the task term, from the teacher's logits.

        Returns:
            Images `(count, channels, height, width)` in [0, 1] and the loss terms of the last step.
        """
        s, run, device = self.settings, self.run, self.run.device
        latent = torch.randn(count, self.generator.latent_dim, generator=self.rng, device=device)
        latent = run.share(latent).clone().requires_grad_()
        targets = run.share(self.targets.draw(count, self.rng))
        fast = copy.deepcopy(self.generator)
        groups: list[dict[str, Any]] = [
            {"params": list(fast.parameters())},
            {"params": [latent], "lr": s.lr_latent},
        ]
        optimizer = torch.optim.Adam(groups, lr=s.lr_generator, betas=(0.5, 0.999))
        self.optimizer.zero_grad(set_to_none=True)
        best_loss, best_images = torch.full((), float("inf"), device=device), None
        terms: dict[str, Tensor] = {}
        with frozen(self.student), self.statistics:
            for _ in range(s.steps):
                with run.autocast():
                    images = fast(latent)
                    seen = random_crop_flip(images, self.rng, padding=s.crop_padding, flip=s.flip)
                    teacher_logits = self.teacher(seen).float()
                    terms["bn"] = self.statistics.loss()
                    task = self.targets.loss(teacher_logits, targets)
                    if modulate is not None:
                        task = modulate(teacher_logits.detach()) * task
                    terms["task"] = task.mean()
                    loss = s.bn_weight * terms["bn"] + s.task_weight * terms["task"]
                    if adversarial and s.adversarial_weight > 0:
                        terms["adversarial"] = adversarial_loss(
                            self.student(seen), teacher_logits, agreeing_only=True
                        )
                        loss = loss + s.adversarial_weight * terms["adversarial"]
                better = loss.detach() < best_loss
                best_loss = torch.where(better, loss.detach(), best_loss)
                kept = images.detach()
                best_images = (
                    kept if best_images is None else torch.where(better, kept, best_images)
                )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                run.reduce(fast)
                _add_gradients(self.generator, fast)
                optimizer.step()
        self.optimizer.step()
        self.statistics.update_history()
        assert best_images is not None
        return run.gather(best_images), {name: term.detach() for name, term in terms.items()}

    def reset_first_layer(self) -> None:
        """Draws the generator's first linear and BatchNorm layer anew, once, for fresh diversity.

        Both weights come from N(0, 0.02), as `reset_l0` of the authors' code draws them.
        """
        if self.was_reset:
            return
        self.was_reset = True
        for layer in (self.generator.first, self.generator.body[0]):
            nn.init.normal_(layer.weight, 0.0, 0.02, generator=self.rng)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """Generator, meta-optimizer and smoothed statistics, for a checkpoint."""
        return {
            "generator": self.generator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "statistics": self.statistics.state_dict(),
            "was_reset": self.was_reset,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.generator.load_state_dict(state["generator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.statistics.load_state_dict(state["statistics"])
        self.was_reset = state["was_reset"]


def _add_gradients(target: nn.Module, source: nn.Module) -> None:
    """First-order MAML: the gradients of every inner step, summed into the generator's own."""
    for ours, theirs in zip(target.parameters(), source.parameters()):
        if theirs.grad is not None:
            ours.grad = theirs.grad.clone() if ours.grad is None else ours.grad.add_(theirs.grad)
