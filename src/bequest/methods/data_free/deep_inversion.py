"""DeepInversion: images optimised pixel by pixel until the teacher takes them for its own data.

Hongxu Yin, Pavlo Molchanov, Zhizhong Li, Jose M. Alvarez, Arun Mallya, Derek Hoiem, Niraj K. Jha,
Jan Kautz, "Dreaming to Distill: Data-Free Knowledge Transfer via DeepInversion", CVPR 2020. Noise
becomes a batch of images by many Adam steps on the pixels, under a loss that asks for a drawn
class (eq. 2), smooth images (eq. 3) and, in every BatchNorm layer of the teacher, the statistics
of the data it was trained on (eq. 4). Adaptive DeepInversion (Sec. 3.3) adds a competition term
that seeks images on which the current student still differs from the teacher. Here inversion and
distillation take turns, and the student learns from all images made so far.

Defaults are those of the comparison in CMI's and Fast's code for CIFAR (inversion_steps 1000, 256
images a round, 400 student steps); what the authors' own CIFAR script has is named at the field.

The optimised values are the teacher's normalised ones, from standard normal noise; after each step
they are clamped to what pixels in [0, 1] can become.

Differs: kept are the images whose loss over the batch was the smallest, as they were when it was
measured; the authors' code means to, but stores a reference that goes on changing.
Differs: priors are means over the images of the batch (`synthesis/priors.py`).
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.competition import competition_loss
from bequest.memory.pool import ImagePool
from bequest.memory.replay import to_bytes
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.modes import frozen
from bequest.run import Result, Run
from bequest.synthesis.image_source import normalization
from bequest.synthesis.learner import Learner
from bequest.synthesis.observer import Monitor, observe, picture_pool, predict
from bequest.synthesis.priors import l2_prior, total_variation
from bequest.synthesis.statistics import BatchNormStatistics


@method
class DeepInversion:
    """Adaptive DeepInversion; with `competition_weight` 0 plain DeepInversion."""

    rounds: Count = 200
    """Rounds of inversion and distillation."""
    student_steps: Count = 400
    """Student steps a round."""
    synthesis_batch: Count = 256
    """New images a round."""
    batch_size: Count = 256
    """Images of a student step."""
    temperature: Positive = 20.0
    """T of the student's loss."""
    learning_rate: Positive = 0.1
    """Of the student's SGD; cosine to a thousandth of it."""
    momentum: Fraction = 0.9
    """Of the student's SGD."""
    weight_decay: NonNegative = 1e-4
    """Of the student's SGD."""
    inversion_steps: Count = 1000
    """Adam steps on the pixels of one batch (authors: 2000)."""
    lr_pixels: Positive = 0.1
    """Of these steps, in standard deviations of the teacher's normalisation (authors: 0.05)."""
    shift: NonNegativeInt = 4
    """Before each look the batch is rolled by up to so many pixels both ways (authors: 2)."""
    task_weight: NonNegative = 1.0
    """Of the cross-entropy to the drawn class (eq. 2)."""
    bn_weight: NonNegative = 10.0
    """Of the BatchNorm statistics loss, alpha_f (eq. 4; authors: 10 for CIFAR)."""
    tv_weight: NonNegative = 4e-4
    """Of the total variation, alpha_tv (eq. 3): the authors' 2.5e-5 for a norm over 256 images."""
    l2_weight: NonNegative = 0.0
    """Of the distance from the mean colour, alpha_l2 (eq. 3; 0 in both codes for CIFAR)."""
    competition_weight: NonNegative = 1.0
    """Of the competition with the student, alpha_c (Sec. 3.3)."""
    competition_temperature: Positive = 3.0
    """Of both networks' logits in the competition (both codes)."""
    crop_padding: NonNegativeInt = 4
    """The student's augmentation: pixels of padding before a random crop."""
    flip: bool = True
    """Mirror: half of the student's images, and the batch in half of the inversion steps."""
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

        See `SSDKD.fit` for the arguments. The teacher needs BatchNorm unless `bn_weight` is 0.
        """
        teacher, student = run.place(teacher), run.place(student).train()
        statistics = BatchNormStatistics(teacher, momentum=0.0) if self.bn_weight else None
        learner = Learner(teacher, student, self, run)
        pool = ImagePool(self.rounds * self.synthesis_batch)
        state = {"learner": learner, "pool": pool}
        with frozen(teacher):
            total = self.rounds * self.student_steps
            for step in run.steps(total, name="distillation", state=state):
                if run.due(times=20):
                    observe(student, pool, run, monitor)
                if step % self.student_steps == 0:
                    with run.section("inversion"):
                        images, terms = self.invert(
                            teacher,
                            student,
                            statistics,
                            image_size=image_size,
                            num_classes=num_classes,
                            run=run,
                        )
                        pixels = to_bytes(images)
                        pool.add(pixels, predict(teacher, pixels, run))
                        run.log(**terms)

                drawn = pool.training.take(pool.uniform(self.batch_size, run.rng))
                learner.step(drawn["images"], logits=drawn["logits"])

        figures = observe(student, pool, run, monitor)
        picture_pool(pool, run)
        return run.result(student, figures)

    def invert(
        self,
        teacher: nn.Module,
        student: nn.Module,
        statistics: BatchNormStatistics | None,
        *,
        image_size: tuple[int, int, int],
        num_classes: int,
        run: Run,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Makes `synthesis_batch` images.

        Args:
            teacher: Frozen, on the run's device; takes images in [0, 1].
            student: What the competition looks at; left as it is.
            statistics: Of the teacher; None leaves that term out.
            image_size: `(channels, height, width)`.
            num_classes: Classes of both networks.
            run: Randomness, precision, processes.

        Returns:
            Images `(synthesis_batch, channels, height, width)` in [0, 1] and the loss terms of
            the last step.
        """
        rng, device, count = run.stream("inversion"), run.device, self.synthesis_batch
        mean, std = (values.view(1, -1, 1, 1).to(device) for values in normalization(teacher))
        noise = torch.randn(count, *image_size, generator=rng, device=device)
        pixels = run.share(noise).clone(memory_format=torch.channels_last)
        pixels = torch.clamp(pixels, -mean / std, (1 - mean) / std).requires_grad_()
        targets = torch.randint(num_classes, (count,), generator=rng, device=device)
        targets = run.share(targets)
        # All at once, so that a GPU need not wait for the host at each step.
        shifts = torch.randint(
            -self.shift, self.shift + 1, (self.inversion_steps, 2), generator=rng, device=device
        ).tolist()
        mirrors = torch.rand(self.inversion_steps, generator=rng, device=device).lt(0.5).tolist()
        optimizer = torch.optim.Adam([pixels], lr=self.lr_pixels, betas=(0.5, 0.99))
        best_loss, best = torch.full((), float("inf"), device=device), pixels.detach().clone()
        terms: dict[str, Tensor] = {}
        with frozen(student), statistics or nullcontext():
            for shift, mirror in zip(shifts, mirrors):
                seen = pixels.roll(shift, (2, 3))
                seen = seen.flip(3) if self.flip and mirror else seen
                images = seen * std + mean
                with run.autocast():
                    logits = teacher(images).float()
                    terms["task"] = F.cross_entropy(logits, targets)  # eq. 2
                    loss = self.task_weight * terms["task"]
                    if statistics is not None:
                        terms["bn"] = statistics.loss()  # eq. 4
                        loss = loss + self.bn_weight * terms["bn"]
                    if self.competition_weight:
                        terms["competition"] = competition_loss(  # Sec. 3.3
                            student(images), logits, temperature=self.competition_temperature
                        )
                        loss = loss + self.competition_weight * terms["competition"]
                if self.tv_weight:
                    terms["tv"] = total_variation(seen)  # eq. 3
                    loss = loss + self.tv_weight * terms["tv"]
                if self.l2_weight:
                    terms["l2"] = l2_prior(seen)  # eq. 3
                    loss = loss + self.l2_weight * terms["l2"]
                better = loss.detach() < best_loss
                best_loss = torch.where(better, loss.detach(), best_loss)
                best = torch.where(better, pixels.detach(), best)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                pixels.data.clamp_(-mean / std, (1 - mean) / std)
        images = (best * std + mean).clamp_(0, 1)
        return run.gather(images), {name: term.detach() for name, term in terms.items()}
