"""CMI: inversion with a contrastive term, so that each image differs from all made before.

Gongfan Fang, Jie Song, Xinchao Wang, Chengchao Shen, Xingen Wang, Mingli Song, "Contrastive Model
Inversion for Data-Free Knowledge Distillation", IJCAI 2021. For each batch a generator is drawn
anew and optimised together with its latent vectors, under the inversion loss (L_bn: BatchNorm
statistics, L_cls: class, L_adv: where both networks agree, drive them apart) and a contrastive
one, L_cr. L_cr asks a small instance discriminator on the teacher's features to recognise a
zoomed crop of an image as that image among the batch and thousands of images of earlier batches
(`synthesis/contrast.py`); it is small only where the images are diverse. The student learns from
all images made so far.

Defaults are those of the authors' script for CIFAR-10 from scratch, WRN-40-2 to WRN-16-1.

Differs: the features come from the inputs of all BatchNorm layers, as in the authors' code, but
of every second (third, ...) layer where they are longer than `feature_limit`; the code takes four
stages by name for its one deeper teacher, a ResNet-34.
Differs: a local view draws its rectangle once and cuts what does not fit (`ops/crops.py`).
Differs: the pool is a tensor on the device with 8-bit pixels, where the authors' code writes and
reads PNG files, and the bank keeps features in half precision.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.inversion import adversarial_loss
from bequest.memory.pool import ImagePool
from bequest.memory.replay import to_bytes
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.modes import frozen
from bequest.ops.augment import random_crop_flip
from bequest.ops.crops import random_resized_crop
from bequest.run import Result, Run
from bequest.synthesis.contrast import InstanceContrast
from bequest.synthesis.generators import ImageGenerator
from bequest.synthesis.instance_means import InstanceMeans
from bequest.synthesis.learner import Learner
from bequest.synthesis.observer import Monitor, observe, picture_pool, predict
from bequest.synthesis.statistics import BatchNormStatistics


def redraw(network: nn.Module, rng: torch.Generator) -> None:
    """Weights from N(0, 0.02), BatchNorm scales from N(1, 0.02), biases 0 (the authors' values)."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.BatchNorm2d):
            mean = 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0
            nn.init.normal_(layer.weight, mean, 0.02, generator=rng)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class ContrastiveInversion:
    """Everything that a batch of images takes: networks, generator, statistics, contrast.

    Args:
        teacher: Frozen, with BatchNorm, on the run's device; takes images in [0, 1].
        student: What the adversarial term looks at; left as it is.
        image_size: `(channels, height, width)`.
        num_classes: Classes of both networks.
        settings: The method itself.
        run: Randomness, precision, processes.
    """

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        *,
        image_size: tuple[int, int, int],
        num_classes: int,
        settings: CMI,
        run: Run,
    ) -> None:
        self.teacher, self.student = teacher, student
        self.num_classes, self.settings, self.run = num_classes, settings, run
        self.statistics = BatchNormStatistics(teacher, momentum=0.0)
        self.instances = InstanceMeans(teacher, limit=settings.feature_limit)
        self.contrast = InstanceContrast(
            self.instances.length,
            run,
            dim=settings.head_dim,
            temperature=settings.contrast_temperature,
            bank_size=settings.bank_size,
            negatives=settings.negatives,
            learning_rate=settings.lr_head,
        )
        self.generator = ImageGenerator(
            settings.latent_dim, image_size, width=settings.generator_width
        )
        run.place(self.generator).train()
        self.rng = run.stream("inversion")

    def __call__(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Makes `synthesis_batch` images and puts their features into the bank.

        Returns:
            Images `(synthesis_batch, channels, height, width)` in [0, 1], those of the step whose
            loss was the smallest, and the loss terms of the last step.
        """
        s, run, device = self.settings, self.run, self.run.device
        redraw(self.generator, self.rng)
        count = s.synthesis_batch
        latent = torch.randn(count, s.latent_dim, generator=self.rng, device=device)
        latent = run.share(latent).clone().requires_grad_()
        targets = torch.randint(self.num_classes, (count,), generator=self.rng, device=device)
        targets = run.share(targets)
        groups: list[dict[str, Any]] = [
            {"params": self.generator.parameters()},
            {"params": [latent], "lr": s.lr_latent},
        ]
        optimizer = torch.optim.Adam(groups, lr=s.lr_generator, betas=(0.5, 0.999))
        best_loss = torch.full((), float("inf"), device=device)
        best: tuple[Tensor, ...] = ()
        terms: dict[str, Tensor] = {}
        with frozen(self.student), self.instances:
            for _ in range(s.inversion_steps):
                with run.autocast():
                    images = self.generator(latent)
                    loss, whole = self._inversion_loss(images, targets, terms)
                kept: tuple[Tensor, ...] = (images.detach(),)
                if s.contrast_weight:
                    local = self._local_features(images)
                    terms["contrast"] = self.contrast.loss(local, whole)  # L_cr
                    loss = loss + s.contrast_weight * terms["contrast"]
                    kept = (*kept, local.detach(), whole.detach())
                better = loss.detach() < best_loss
                best_loss = torch.where(better, loss.detach(), best_loss)
                best = tuple(torch.where(better, new, old) for new, old in zip(kept, best or kept))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                run.reduce(self.generator)
                optimizer.step()
                if s.contrast_weight:
                    self.contrast.step()
        images, *features = (run.gather(part) for part in best)
        if features:
            self.contrast.remember(*features)
        return images, {name: term.detach() for name, term in terms.items()}

    def _inversion_loss(
        self, images: Tensor, targets: Tensor, terms: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The loss without contrast, and the features of the global views it was measured on."""
        s = self.settings
        views = random_crop_flip(images, self.rng, padding=s.crop_padding, flip=s.flip)
        with self.statistics if s.bn_weight else nullcontext():
            logits = self.teacher(views).float()
        terms["task"] = F.cross_entropy(logits, targets)  # L_cls
        loss = s.task_weight * terms["task"]
        if s.bn_weight:
            terms["bn"] = self.statistics.loss()  # L_bn
            loss = loss + s.bn_weight * terms["bn"]
        if s.adversarial_weight:
            answer = self.student(views)
            terms["adversarial"] = adversarial_loss(answer, logits, agreeing_only=True)  # L_adv
            loss = loss + s.adversarial_weight * terms["adversarial"]
        return loss, self.instances.features

    def _local_features(self, images: Tensor) -> Tensor:
        """The teacher's features of zoomed crops, `(batch, length)`."""
        s = self.settings
        views = random_resized_crop(images, self.rng, smallest=s.local_area, flip=s.flip)
        with self.run.autocast():
            self.teacher(views)
        return self.instances.features

    def state_dict(self) -> dict[str, Any]:
        """The contrast, for a checkpoint; the generator is drawn anew for each batch."""
        return {"contrast": self.contrast.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.contrast.load_state_dict(state["contrast"])


@method
class CMI:
    """Contrastive Model Inversion; with `contrast_weight` 0 the inversion alone."""

    rounds: Count = 200
    """Rounds of inversion and distillation."""
    student_steps: Count = 400
    """Student steps a round."""
    synthesis_batch: Count = 256
    """New images a round."""
    batch_size: Count = 128
    """Images of a student step."""
    temperature: Positive = 20.0
    """T of the student's loss."""
    learning_rate: Positive = 0.1
    """Of the student's SGD; cosine to a thousandth of it."""
    momentum: Fraction = 0.9
    """Of the student's SGD."""
    weight_decay: NonNegative = 1e-4
    """Of the student's SGD."""
    inversion_steps: Count = 200
    """Adam steps on generator and latent vectors of one batch."""
    lr_generator: Positive = 1e-3
    """Of the generator."""
    lr_latent: Positive = 1e-3
    """Of the latent vectors."""
    lr_head: Positive = 1e-3
    """Of the instance discriminator."""
    bn_weight: NonNegative = 1.0
    """Of the BatchNorm statistics loss."""
    task_weight: NonNegative = 1.0
    """Of the cross-entropy to the drawn class (0.5 in the script that starts from made images)."""
    adversarial_weight: NonNegative = 0.5
    """Of the adversarial loss, on samples on which both networks agree."""
    contrast_weight: NonNegative = 0.8
    """Of the contrastive loss."""
    contrast_temperature: Positive = 0.1
    """Of the contrastive loss: 0.1 or 0.2 in the scripts."""
    bank_size: Count = 40_960
    """Earlier images whose features are kept."""
    negatives: Count = 4096
    """Earlier images a step that an image is told from."""
    head_dim: Count = 256
    """Length of the discriminator's projections."""
    local_area: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Smallest share of an image that a local view shows, in (0, 1]."""
    feature_limit: Count = 4096
    """Largest length of the teacher's features."""
    latent_dim: Count = 256
    """Length of the latent vectors."""
    generator_width: Count = 64
    """Channels of the generator's last hidden layer."""
    crop_padding: NonNegativeInt = 4
    """Augmentation and global views: pixels of padding before a random crop."""
    flip: bool = True
    """Augmentation, global and local views: mirror half of the images."""
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

        See `SSDKD.fit` for the arguments.
        """
        teacher, student = run.place(teacher), run.place(student).train()
        inversion = ContrastiveInversion(
            teacher,
            student,
            image_size=image_size,
            num_classes=num_classes,
            settings=self,
            run=run,
        )
        learner = Learner(teacher, student, self, run)
        pool = ImagePool(self.rounds * self.synthesis_batch)
        state = {"learner": learner, "inversion": inversion, "pool": pool}

        with frozen(teacher):
            total = self.rounds * self.student_steps
            for step in run.steps(total, name="distillation", state=state):
                if run.due(times=20):
                    observe(student, pool, run, monitor)
                if step % self.student_steps == 0:
                    with run.section("inversion"):
                        images, terms = inversion()
                        pixels = to_bytes(images)
                        pool.add(pixels, predict(teacher, pixels, run))
                        run.log(**terms)

                drawn = pool.training.take(pool.uniform(self.batch_size, run.rng))
                learner.step(drawn["images"], logits=drawn["logits"])

        figures = observe(student, pool, run, monitor)
        picture_pool(pool, run)
        return run.result(student, figures)
