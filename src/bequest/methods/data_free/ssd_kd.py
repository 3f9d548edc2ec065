"""SSD-KD: a small, continually renewed buffer of synthetic images, replayed by priority.

He Liu, Yikai Wang, Huaping Liu, Fuchun Sun, Anbang Yao, "Small Scale Data-Free Knowledge
Distillation", CVPR 2024. A generator makes a few images at a time that the teacher knows and the
student does not; a modulating function steers it to rare classes and hard samples; the student
learns from a buffer of about a tenth of the original data, in which samples on which it still
differs from the teacher are drawn more often.

Eq. numbers follow the paper's order of definitions: (1) the min-max objective, (2) the modulating
function phi, (3) the priority delta, (4) the sampling probability P, (5) the importance weight w.
The authors have published no code; where the paper leaves a choice open, ours is named at the
field. The inversion beneath is Fast-Datafree's, which the paper builds on.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from bequest.losses.distillation import top_probability
from bequest.memory.pool import ImagePool
from bequest.memory.priority import PrioritySampler
from bequest.memory.replay import to_bytes
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.modes import frozen
from bequest.run import Result, Run
from bequest.synthesis.generators import ImageGenerator
from bequest.synthesis.learner import Learner
from bequest.synthesis.meta_inversion import InversionSettings, MetaInversion
from bequest.synthesis.observer import Monitor, observe, picture_pool, predict


def modulating_weight(
    logits: Tensor,
    class_counts: Tensor,
    *,
    gamma: float = 2.0,
    diversity: bool = True,
    difficulty: bool = True,
) -> Tensor:
    """phi(x) = (1 - share of x's class in the buffer) * (1 - p_T(x))^gamma   (eq. 2).

    A constant for back-propagation.

    Args:
        logits: The teacher's, `(batch, classes)`.
        class_counts: Samples of each class in the buffer, `(classes,)`; all zero counts as empty.
        gamma: How fast sure samples lose weight, at least 0.
        diversity: Whether the first factor counts.
        difficulty: Whether the second factor counts.

    Returns:
        `(batch,)` in [0, 1]: falls with the count of the predicted class and with its probability.
    """
    probability, label = top_probability(logits.detach())
    weight = torch.ones_like(probability)
    if diversity:
        weight = weight * (1 - class_counts[label] / class_counts.sum().clamp(min=1))
    if difficulty:
        weight = weight * (1 - probability) ** gamma
    return weight


@method
class SSDKD:
    """Small Scale Data-Free Knowledge Distillation."""

    buffer_size: Count = 5000
    """Samples in the buffer; the paper takes a tenth of the original data (5,000 for CIFAR)."""
    rounds: Count = 200
    """Rounds of inversion and distillation after the buffer is full (Fast: 200)."""
    student_steps: Count = 20
    """Student steps a round (inferred: one pass over the buffer, buffer_size / batch_size)."""
    synthesis_batch: Count = 256
    """New images a round."""
    batch_size: Count = 256
    """Images of a student step."""
    modulation: bool = True
    """Whether phi weights the task term of the inversion (eq. 2)."""
    diversity: bool = True
    """Whether phi's first factor counts: rare classes first."""
    difficulty: bool = True
    """Whether phi's second factor counts: hard samples first."""
    gamma: NonNegative = 2.0
    """Exponent of the difficulty in phi (paper: unknown; as in focal loss)."""
    normalize_modulation: bool = False
    """Divide phi by its batch mean, so that it re-weights without weakening the task term."""
    priority: bool = True
    """Whether samples are drawn by priority (eq. 4); otherwise uniformly."""
    alpha: NonNegative = 1.0
    """Exponent of the priority; the paper has none."""
    beta: Fraction = 0.4
    """Strength of the importance weights in [0, 1] (paper: unknown; as in Schaul et al.)."""
    eps: Positive = 1e-3
    """Keeps every sample reachable."""
    weight_scale: Literal["none", "mean", "max"] = "none"
    """Divide importance weights by nothing, their batch mean, or their batch maximum."""
    temperature: Positive = 20.0
    """T of the student's loss; priorities use T = 1."""
    learning_rate: Positive = 0.2
    """Of the student's SGD; cosine to a thousandth of it."""
    momentum: Fraction = 0.9
    """Of the student's SGD."""
    weight_decay: NonNegative = 1e-4
    """Of the student's SGD."""
    inversion_steps: Count = 5
    """Adam steps of one inversion (Fast-5)."""
    lr_generator: Positive = 3e-3
    """Of the generator within an inversion (Fast-5)."""
    lr_latent: Positive = 1e-2
    """Of the latent vectors within an inversion (Fast-5)."""
    bn_weight: NonNegative = 10.0
    """Of the BatchNorm statistics loss."""
    task_weight: NonNegative = 0.5
    """Of the teacher-task loss, before phi."""
    adversarial_weight: NonNegative = 1.33
    """Of the adversarial loss."""
    bn_momentum: Fraction = 0.9
    """Smoothing of the batch statistics over rounds."""
    generator_reset: Fraction = 0.6
    """Share of the run after which the generator's first layer is drawn anew once; 0: never."""
    latent_dim: Count = 256
    """Length of the latent vectors."""
    generator_width: Count = 64
    """Channels of the generator's last hidden layer."""
    crop_padding: NonNegativeInt = 4
    """Augmentation: pixels of padding before a random crop."""
    flip: bool = True
    """Augmentation: mirror half of the images."""
    reuse_teacher_logits: bool = False
    """Take the teacher's answer on the stored image for its crops and flips as well: cheaper."""

    def fit(
        self,
        teacher: nn.Module,
        student: nn.Module,
        *,
        image_size: tuple[int, int, int],
        num_classes: int,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains `student` in place to answer as `teacher` does, without any data.

        Args:
            teacher: Takes images in [0, 1]; with BatchNorm; unchanged at the end.
            student: Takes images in [0, 1].
            image_size: `(channels, height, width)`.
            num_classes: Classes of both networks.
            run: How to execute.
            monitor: Figures to report during the run.

        Returns:
            The student after the last step, and its figures.
        """
        teacher, student = run.place(teacher), run.place(student).train()
        generator = ImageGenerator(self.latent_dim, image_size, width=self.generator_width)
        inversion = MetaInversion(
            teacher,
            student,
            run.place(generator).train(),  # type: ignore[arg-type]
            num_classes=num_classes,
            settings=InversionSettings.of(self),
            run=run,
        )
        pool = ImagePool(self.buffer_size)
        sampler = PrioritySampler(
            self.buffer_size, alpha=self.alpha, beta=self.beta, eps=self.eps, device=run.device
        )
        class_counts = torch.zeros(num_classes, device=run.device)
        learner = Learner(teacher, student, self, run)
        state = {
            "learner": learner,
            "inversion": inversion,
            "pool": pool,
            "sampler": sampler,
            "class_counts": class_counts,
        }

        def modulate(logits: Tensor) -> Tensor:
            phi = modulating_weight(
                logits,
                class_counts,
                gamma=self.gamma,
                diversity=self.diversity,
                difficulty=self.difficulty,
            )
            return phi / phi.mean().clamp(min=1e-6) if self.normalize_modulation else phi

        def renew(*, adversarial: bool) -> None:
            """One inversion; its images take the places of the oldest."""
            images, terms = inversion(
                self.synthesis_batch,
                adversarial=adversarial,
                modulate=modulate if self.modulation else None,
            )
            pixels = to_bytes(images)
            places = pool.add(pixels, predict(teacher, pixels, run))
            sampler.enter(places)
            labels = pool.training["logits"].argmax(1)
            class_counts.zero_().index_add_(0, labels, torch.ones_like(labels, dtype=torch.float))
            run.log(**terms)

        with frozen(teacher):
            fill = math.ceil(self.buffer_size / self.synthesis_batch)
            for _ in run.steps(fill, name="warm-up", state=state, log_every=1):
                renew(adversarial=False)

            total = self.rounds * self.student_steps
            for step in run.steps(total, name="distillation", state=state):
                if run.due(times=20):
                    observe(student, pool, run, monitor)
                    run.record(effective_size=sampler.effective_size().item())
                if step % self.student_steps == 0:
                    if 0 < self.generator_reset <= run.fraction:
                        inversion.reset_first_layer()
                    with run.section("inversion"):
                        renew(adversarial=True)

                if self.priority:
                    places, weight = sampler.draw(self.batch_size, run.rng)  # eq. 4 and 5
                    weight = _scaled(weight, self.weight_scale)
                else:
                    places = pool.uniform(self.batch_size, run.rng)
                    weight = torch.ones(self.batch_size, device=run.device)
                drawn = pool.training.take(places)
                gap = learner.step(drawn["images"], logits=drawn["logits"], weight=weight)
                sampler.update(places, weight * gap)  # eq. 3

        figures = observe(student, pool, run, monitor)
        picture_pool(pool, run)
        return run.result(student, figures)


def _scaled(weight: Tensor, scale: Literal["none", "mean", "max"]) -> Tensor:
    match scale:
        case "none":
            return weight
        case "mean":
            return weight / weight.mean()
        case "max":
            return weight / weight.max()
