"""SSD-KD for semantic segmentation: a small replayed buffer of synthetic scenes, no data.

He Liu, Yikai Wang, Huaping Liu, Fuchun Sun, Anbang Yao, "Small Scale Data-Free Knowledge
Distillation", CVPR 2024, whose second task is segmentation. Teacher and student give logits for
each pixel. A generator makes a few images at a time; a modulating function steers it to rare
classes and hard images; the student learns each pixel's answer from a small buffer, in which
images on which it still differs from the teacher are drawn more often.

Eq. numbers are those of the classification method: (1) the min-max objective, (2) the modulating
function phi, (3) the priority delta, (4) the sampling probability P, (5) the importance weight w.
The authors have published no code, and how (2) and (3) read for pixels is not known. Chosen here:

- phi is of an image: `p_T` is the mean over pixels of the teacher's top probability, and the share
  of the image's class becomes the scalar product of the image's class histogram with the
  buffer's. For images of one pixel this is the classification method's phi.
- KL, cross-entropy and the adversarial term are means over pixels, the latter over those pixels
  on which teacher and student agree; delta is the mean KL of an image.
- Where a uniformly drawn class is the target of an image in classification, here a map of patches
  is, each of a uniformly drawn class; `targets` also offers the teacher's own most likely classes.

Differs: synthetic images are not cropped and flipped during inversion, because the target maps
would have to move with them. The buffer keeps images, label maps and class histograms, never
logits: these take 4 x classes bytes a pixel (16 times an RGB image for 12 classes), and a crop or
a mirror image needs the teacher's answer anew anyhow. So the teacher is asked at each step.

Fast's growing pool is this method with a buffer that never overwrites, `modulation` and `priority`
off, and a fixed number of `warmup_rounds`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.losses.distillation import per_sample, top_probability
from bequest.memory.pool import ImagePool
from bequest.memory.priority import PrioritySampler
from bequest.memory.replay import to_bytes
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.inspection import check_network
from bequest.nn.modes import frozen
from bequest.run import Result, Run
from bequest.synthesis.generators import ImageGenerator
from bequest.synthesis.learner import Learner
from bequest.synthesis.map_observer import label_maps, observe_maps, picture_maps
from bequest.synthesis.meta_inversion import InversionSettings, MetaInversion
from bequest.synthesis.observer import Monitor, predict
from bequest.synthesis.targets import OwnTargets, PatchTargets, Targets


def modulating_weight(
    logits: Tensor,
    class_counts: Tensor,
    *,
    gamma: float = 2.0,
    diversity: bool = True,
    difficulty: bool = True,
) -> Tensor:
    """phi(x) = (1 - sum_c h_c(x) N_c / N) * (1 - p_T(x))^gamma   (eq. 2, of a label map).

    `h(x)` is the class histogram of the image's pixels, `N_c / N` that of the buffer's. A constant
    for back-propagation.

    Trap: where the teacher sees one class alone, in the image and in the whole buffer, phi is 0:
    then only the other terms of the inversion can bring a second class in.

    Args:
        logits: The teacher's, `(batch, classes, height, width)`.
        class_counts: Pixels of each class in the buffer, `(classes,)`; all zero counts as empty.
        gamma: How fast sure images lose weight, at least 0.
        diversity: Whether the first factor counts.
        difficulty: Whether the second factor counts.

    Returns:
        `(batch,)` in [0, 1]: falls with the frequency of the image's classes in the buffer, and
        with the mean top probability of its pixels.
    """
    probability, label = top_probability(logits.detach())
    weight = probability.new_ones(len(logits))
    if diversity:
        share = class_counts / class_counts.sum().clamp(min=1)
        # The mean over pixels of their class's share is the product of the histograms.
        weight = weight * (1 - per_sample(share[label]))
    if difficulty:
        weight = weight * (1 - per_sample(probability)) ** gamma
    return weight


@method
class SSDKDSegmentation:
    """Small Scale Data-Free Knowledge Distillation for networks that label each pixel."""

    buffer_size: Count = 1600
    """Images in the buffer (paper: 16,000 for NYUv2, a tenth of it chosen here)."""
    warmup_rounds: NonNegativeInt = 0
    """Rounds of inversion before the student learns; 0: until the buffer is full."""
    rounds: Count = 200
    """Rounds of inversion and distillation after the warm-up (Fast: 200)."""
    student_steps: Count = 20
    """Student steps a round (inferred: about one pass over the buffer)."""
    synthesis_batch: Count = 64
    """New images a round (unknown: chosen smaller than for CIFAR, images are larger)."""
    batch_size: Count = 64
    """Images of a student step (unknown: chosen)."""
    targets: Literal["patches", "own"] = "patches"
    """What the teacher should see: drawn maps of patches, or its own most likely classes."""
    patch: Count = 16
    """Side of a patch of the drawn maps, in pixels (unknown: chosen)."""
    modulation: bool = True
    """Whether phi weights the task term of the inversion (eq. 2)."""
    diversity: bool = True
    """Whether phi's first factor counts: rare classes first."""
    difficulty: bool = True
    """Whether phi's second factor counts: hard images first."""
    gamma: NonNegative = 2.0
    """Exponent of the difficulty in phi (paper: unknown; as in focal loss)."""
    normalize_modulation: bool = False
    """Divide phi by its batch mean, so that it re-weights without weakening the task term."""
    priority: bool = True
    """Whether images are drawn by priority (eq. 4); otherwise uniformly."""
    alpha: NonNegative = 1.0
    """Exponent of the priority; the paper has none."""
    beta: Fraction = 0.4
    """Strength of the importance weights in [0, 1] (paper: unknown; as in Schaul et al.)."""
    eps: Positive = 1e-3
    """Keeps every image reachable."""
    temperature: Positive = 1.0
    """T of the student's loss (unknown: chosen; 4 learnt much slower); priorities use T = 1."""
    learning_rate: Positive = 0.1
    """Of the student's SGD; cosine to a thousandth of it (unknown: chosen)."""
    rate_warm_up: Fraction = 0.0
    """Share of the run in which this rate rises from 0 first (ours; 0 is off)."""
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
    """Of the BatchNorm statistics loss (Fast)."""
    task_weight: NonNegative = 0.5
    """Of the teacher-task loss, before phi (Fast)."""
    adversarial_weight: NonNegative = 1.33
    """Of the adversarial loss (Fast)."""
    bn_momentum: Fraction = 0.9
    """Smoothing of the batch statistics over rounds (Fast)."""
    generator_reset: Fraction = 0.6
    """Share of the run after which the generator's first layer is drawn anew once; 0: never."""
    latent_dim: Count = 256
    """Length of the latent vectors (Fast)."""
    generator_width: Count = 64
    """Channels of the generator's last hidden layer (Fast)."""
    crop_padding: NonNegativeInt = 4
    """Augmentation of the student's images: pixels of padding before a random crop."""
    flip: bool = True
    """Augmentation of the student's images: mirror half of them."""

    @property
    def dense(self) -> bool:
        """Teacher and student give logits for each pixel."""
        return True

    @property
    def reuse_teacher_logits(self) -> bool:
        """Never: logits belong to pixels, which crops and mirrors move, and none are stored."""
        return False

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
        """Trains `student` in place to label pixels as `teacher` does, without any data.

        Args:
            teacher: Takes images in [0, 1], gives logits `(batch, classes, height, width)`; with
                BatchNorm; unchanged at the end.
            student: Takes and gives the same.
            image_size: `(channels, height, width)`.
            num_classes: Classes of both networks.
            run: How to execute.
            monitor: Figures to report during the run.

        Returns:
            The student after the last step, and its figures.

        Raises:
            InputError: Before any work, when a network does not give logits of `num_classes`
                classes for each pixel, or the teacher has no BatchNorm.
        """
        if teacher is student:
            raise InputError("teacher and student are the same object; give an untrained copy.")
        for name, network in (("teacher", teacher), ("student", student)):
            check_network(
                network, image_size=image_size, num_classes=num_classes, name=name, dense=True
            )
        teacher, student = run.place(teacher), run.place(student).train()
        generator = ImageGenerator(self.latent_dim, image_size, width=self.generator_width)
        inversion = MetaInversion(
            teacher,
            student,
            run.place(generator).train(),  # type: ignore[arg-type]
            num_classes=num_classes,
            settings=replace(InversionSettings.of(self), crop_padding=0, flip=False),
            run=run,
            targets=self._targets(num_classes, image_size[1:]),
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
            sampler.enter(pool.add(pixels, label_maps(predict(teacher, pixels, run))))
            class_counts.copy_(pool.training["histogram"].sum(0))
            run.log(**terms)

        with frozen(teacher):
            fill = self.warmup_rounds or math.ceil(self.buffer_size / self.synthesis_batch)
            for _ in run.steps(fill, name="warm-up", state=state, log_every=1):
                renew(adversarial=False)

            total = self.rounds * self.student_steps
            for step in run.steps(total, name="distillation", state=state):
                if run.due(times=20):
                    observe_maps(student, pool, run, monitor)
                    run.record(effective_size=sampler.effective_size().item())
                if step % self.student_steps == 0:
                    if 0 < self.generator_reset <= run.fraction:
                        inversion.reset_first_layer()
                    with run.section("inversion"):
                        renew(adversarial=True)

                if self.priority:
                    places, weight = sampler.draw(self.batch_size, run.rng)  # eq. 4 and 5
                else:
                    places = pool.uniform(self.batch_size, run.rng)
                    weight = torch.ones(self.batch_size, device=run.device)
                drawn = pool.training.take(places)
                gap = learner.step(drawn["images"], weight=weight)
                sampler.update(places, weight * gap)  # eq. 3

        figures = observe_maps(student, pool, run, monitor)
        picture_maps(student, pool, run)
        return run.result(student, figures)

    def _targets(self, num_classes: int, size: tuple[int, int]) -> Targets:
        if self.targets == "own":
            return OwnTargets()
        return PatchTargets(num_classes, size, patch=self.patch)
