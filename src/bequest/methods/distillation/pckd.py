"""PCKD: a student contrasts how its features relate to the class centres; the hard is previewed.

Muhe Ding, Jianlong Wu, Xue Dong, Xiaojie Li, Pengda Qin, Tian Gan, Liqiang Nie, "Preview-based
Category Contrastive Learning for Knowledge Distillation", IEEE TCSVT 2025. In: a trained network,
another network, labelled images. Out: that network. Each image is seen in four turns. The rows of a
classifier are its category centres. The loss has five terms:

    CE                                     labels, on the upright view
    + kd_weight * v KL                     logits, on the upright view
    + feature_weight * (2 - 2 cos)         the student's features, through an MLP, to the teacher's
    + centre_weight * MSE([W|b])           the student's centres to the teacher's
    + category_weight * v l                relations of features to centres, contrasted by class

where v is 1 for samples whose cross-entropy is at most t times the mean of the batch, and
`exp(-difficulty^2)` for harder ones; t grows from 1 to `final_threshold`. The MLP and the two
embeddings of the relations are thrown away at the end.

Differs: a run has a number of steps, and t follows the share of it that is over, so that shorter
trainings open as far as the published 240 epochs; the published code raises it by 1.005 an epoch.
Differs: v takes no gradient; in the published code it does in the term on logits, which rewards the
student for making a hard sample harder (`detach_preview`).
Differs: all views of an image turn one cut of it; in the lineage of the published code each view is
cut on its own (inferred).
Trap: an image costs four passes; compare at equal cost too. Classes that a turn makes into one
another (6 and 9) want a small `angle`. Turned views share the student's batch statistics.
Trap: with several processes, batches are compared within each process's share.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.category_contrast import CategoryContrast, alignable, centre_alignment
from bequest.losses.distillation import kl_divergence
from bequest.losses.preview import (
    focal_weights,
    preview_threshold,
    preview_weights,
    relative_difficulty,
    self_paced_weights,
)
from bequest.losses.projected_cosine import ProjectedCosine
from bequest.memory.epochs import EpochSampler
from bequest.memory.labelled import LabelledImages
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.inspection import check_network, penultimate_layer
from bequest.nn.modes import frozen
from bequest.nn.watch import Watch, WatchTeacher
from bequest.ops.outputs import Outputs
from bequest.ops.rotations import four_turns
from bequest.run import Result, Run
from bequest.run.update import update
from bequest.synthesis.class_report import report_classes
from bequest.synthesis.learner import scheduled
from bequest.synthesis.observer import Monitor, observe
from bequest.synthesis.taught import Taught, Views


@method
class PCKD:
    """Preview-based Category Contrastive Learning for Knowledge Distillation."""

    category_weight: NonNegative = 0.05
    """beta, of the category contrast; 0 leaves it out."""
    contrast: Literal["relation", "centre"] = "relation"
    """Whether relations are told apart among instances, as in the code, or an instance's own centre
    among the centres, as in the paper's figure (inferred)."""
    contrast_temperature: Positive = 4.0
    """tau, of the relations, which are not normalised."""
    base_temperature: Positive = 0.07
    """tau_0; the contrast is scaled by tau / tau_0."""
    feature_weight: NonNegative = 20.0
    """f, of the feature alignment; 0 leaves it out."""
    projector_factor: Count = 16
    """How many times wider than the teacher's features the MLP is inside."""
    centre_weight: NonNegative = 1.0
    """alpha, of the alignment of centres; without effect where the last linear layers of both
    networks differ in shape."""
    kd_weight: NonNegative = 1.0
    """delta, of the term on logits. The published command leaves it at 0, which is the table's row
    without KD; 1 is ours (usual for a loss that is scaled by T^2)."""
    temperature: Positive = 4.0
    """T of the term on logits."""
    preview: Literal["preview", "self-paced", "focal", "none"] = "preview"
    """Weights by difficulty: a small one beyond the threshold, none beyond it (the classic
    curriculum), larger ones for the hard (focal loss), or equal ones."""
    final_threshold: Positive = 3.31
    """t at the end, at least 1; published 1.005^240."""
    detach_preview: bool = True
    """Whether the weights take no gradient in the term on logits either; false is the code."""
    views: Literal["turned", "upright"] = "turned"
    """Whether an image is seen in four turns, or upright alone."""
    angle: Positive = 90.0
    """Degrees: views are turned by once, twice and minus once this angle. Published is 90, the
    quarter turns."""
    supervised_views: Literal["upright", "all"] = "upright"
    """On which views labels and logits are learnt; all of them is a control, not the method."""
    steps: Count = 187_440
    """Student steps; 240 epochs of 50,000 images."""
    batch_size: Count = 64
    """Images of a student step, each in all its views; fewer where there are fewer."""
    learning_rate: Positive = 0.05
    """Of the student's SGD; published 0.01 for MobileNetV2 and ShuffleNet."""
    schedule: Literal["steps", "cosine"] = "steps"
    """Learning rate: a tenth at 150, 180 and 210 of 240 parts of the run, or cosine."""
    momentum: Fraction = 0.9
    """Of the student's SGD, which trains the parts that are thrown away too."""
    weight_decay: NonNegative = 5e-4
    """Of the student's SGD."""
    crop_padding: NonNegativeInt = 4
    """Augmentation: pixels of padding before a random crop."""
    flip: bool = True
    """Augmentation: mirror half of the images."""
    augmentations: NonNegativeInt = 0
    """How many cuts of an image there are, which come again in turn; 0: new ones in each epoch."""
    cache: bool = True
    """Whether the teacher's outputs are kept where its views come again."""
    cache_megabytes: Positive = 2000.0
    """Most that may be kept; what would take more is not kept."""

    def fit(
        self,
        teacher: nn.Module,
        student: nn.Module,
        *,
        images: Tensor,
        labels: Tensor,
        image_size: tuple[int, int, int],
        num_classes: int,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains `student` in place.

        Args:
            teacher: Takes images in [0, 1]; ends in a linear layer; unchanged at the end.
            student: The same.
            images: `(count, channels, height, width)`, uint8; square for quarter turns.
            labels: `(count,)`, int64.
            image_size: `(channels, height, width)`.
            num_classes: Classes of both networks.
            run: How to execute.
            monitor: Figures to report during the run.

        Returns:
            The last student and its figures: those of `monitor`; `teacher_images`, how many the
            teacher was asked for; `class_spread`, the mean distance of two features of one class
            over that of two classes.

        Raises:
            InputError: When data, networks or settings do not fit, before any work.
        """
        self._check(image_size, count=len(labels))
        data = LabelledImages(
            images, labels, image_size=image_size, num_classes=num_classes, device=run.device
        )
        teacher, student = run.place(teacher), run.place(student)
        for name, network in (("teacher", teacher), ("student", student)):
            check_network(network, image_size=image_size, num_classes=num_classes, name=name)
        epoch = EpochSampler(len(data), run.device)
        batch = min(self.batch_size, len(data))
        per_epoch = len(data) // batch
        with frozen(teacher):
            lesson = Lesson(teacher, student, data, self, run)
            state = {"lesson": lesson, "epoch": epoch}
            for step in run.steps(self.steps, name="distillation", state=state):
                if run.due(times=20):
                    observe(student, None, run, monitor)
                places = epoch.draw(batch, run.stream("order"))
                lesson.step(places, epoch=step // per_epoch)
            figures = observe(student, None, run, monitor)
            with run.section("evaluation"):
                figures |= lesson.report()
        figures["teacher_images"] = float(lesson.views_a_sample * lesson.teacher.images_asked)
        return run.result(student, figures)

    def _check(self, image_size: tuple[int, int, int], *, count: int) -> None:
        turned = self.views == "turned"
        if turned and self.angle == 90 and image_size[1] != image_size[2]:
            raise InputError(
                f"Images of {image_size[1]}x{image_size[2]} cannot make quarter turns, which need "
                "squares: give another angle, such as 15, or views upright."
            )
        if self.final_threshold < 1:
            raise InputError(
                f"final_threshold is {self.final_threshold}; it must be at least 1, where the "
                "threshold begins."
            )
        if self.feature_weight > 0 and not turned and min(self.batch_size, count) < 2:
            raise InputError(
                "The feature alignment has BatchNorm, which needs two views or more in a batch: "
                "give a larger batch_size, or feature_weight 0."
            )


class Lesson:
    """Student, teacher, what is learnt beside, and optimizer: one step on samples by place."""

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        data: LabelledImages,
        method: PCKD,
        run: Run,
    ) -> None:
        self.model, self.data, self.method, self.run = student, data, method, run
        self.views_a_sample = 4 if method.views == "turned" else 1
        self.views = Views(
            crop_padding=method.crop_padding,
            flip=method.flip,
            augmentations=method.augmentations,
            teacher_view="same",
            cache=method.cache,
            cache_megabytes=method.cache_megabytes,
        )
        self.heads = penultimate_layer(student), penultimate_layer(teacher)
        self.student = Watch(student, features=True)
        watched = WatchTeacher(teacher, features=True)

        def ask(images: Tensor) -> Outputs:  # a sample's views are one row, so that it is kept
            return watched(self.turned(images)).each(self._by_sample)

        two = self.views.whole(data, torch.arange(2, device=run.device) % len(data))
        limit = run.budget.limit(method.steps)
        batch = min(method.batch_size, len(data))
        self.epochs = max(1, limit // (len(data) // batch))
        self.teacher = Taught(ask, data, self.views, run, example=ask(two), draws=limit * batch)
        self.learnt = nn.ModuleDict()
        dims = self.heads[0].in_features, self.heads[1].in_features
        if method.category_weight > 0:
            self.learnt["contrast"] = CategoryContrast(
                *dims,
                mode=method.contrast,
                temperature=method.contrast_temperature,
                base_temperature=method.base_temperature,
            )
        if method.feature_weight > 0:
            self.learnt["alignment"] = ProjectedCosine(*dims, factor=method.projector_factor)
        self.aligns_centres = method.centre_weight > 0 and alignable(*self.heads)
        self.model.train()
        run.place(self.learnt)
        trained = [*self.model.parameters(), *self.learnt.parameters()]
        self.optimizer = torch.optim.SGD(
            [p for p in trained if p.requires_grad],
            lr=method.learning_rate,
            momentum=method.momentum,
            weight_decay=method.weight_decay,
        )

    def turned(self, images: Tensor) -> Tensor:
        """All views of the images `(batch, ...)`, those of one side by side, upright first."""
        return four_turns(images, degrees=self.method.angle) if self.views_a_sample > 1 else images

    def step(self, places: Tensor, *, epoch: int) -> None:
        """One update on the samples at `places`, the same in all processes."""
        run, m = self.run, self.method
        places = run.share(places)
        labels = self.data.labels[places]
        seed = self.views.seed(epoch)
        images = self.views.cut(self.data, places, seed)
        taught = self.teacher(places, seed, images)
        with run.autocast():
            seen = self.student(self.turned(images))
        terms = self.terms(seen.each(Tensor.float), taught, labels)
        loss = torch.stack(list(terms.values())).sum()
        rate = m.learning_rate * scheduled(run.fraction, m.schedule)
        update(run, loss, self.optimizer, self.model, self.learnt, rate=rate)
        run.log(loss=loss, **terms)

    def terms(self, seen: Outputs, taught: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """The weighted terms of the loss by name, scalars.

        Args:
            seen: The student's, of all views: logits `(batch * views, classes)`.
            taught: The teacher's, by sample: logits `(batch, views, classes)`.
            labels: `(batch,)`.
        """
        m, views = self.method, self.views_a_sample
        told = 1 if m.supervised_views == "upright" else views
        logits = self._by_sample(seen.logits)[:, :told].flatten(0, 1)
        wanted = taught.logits[:, :told].flatten(0, 1)
        hardness = F.cross_entropy(logits, labels.repeat_interleave(told), reduction="none")
        hardness = hardness.view(-1, told).mean(1)
        weights = self._weights(hardness.detach() if m.detach_preview else hardness)
        self.run.log(held_back=(weights < 1).float().mean())
        terms = {"cross_entropy": hardness.mean()}
        if m.kd_weight > 0:
            divergence = kl_divergence(logits, wanted, temperature=m.temperature)
            terms["kd"] = m.kd_weight * (weights * divergence.view(-1, told).mean(1)).mean()
        assert seen.features is not None
        assert taught.features is not None
        if "alignment" in self.learnt:
            distance = self.learnt["alignment"](seen.features, taught.features.flatten(0, 1))
            terms["features"] = m.feature_weight * distance.mean()
        if self.aligns_centres:
            terms["centres"] = m.centre_weight * centre_alignment(*self.heads)
        if "contrast" in self.learnt:
            heads = [head.weight.float() for head in self.heads]
            losses = self.learnt["contrast"](seen.features, *heads, labels.repeat_interleave(views))
            shared = weights.detach().repeat_interleave(views)
            terms["categories"] = m.category_weight * (shared * losses).mean()
        return terms

    def _weights(self, hardness: Tensor) -> Tensor:
        """The preview weight of each sample `(batch,)`, from its cross-entropy."""
        difficulty = relative_difficulty(hardness)
        # As in the paper the first epoch already is one step of t away from 1.
        progress = min(1.0, self.run.fraction + 1 / self.epochs)
        threshold = preview_threshold(progress, final=self.method.final_threshold)
        match self.method.preview:
            case "preview":
                return preview_weights(difficulty, threshold)
            case "self-paced":
                return self_paced_weights(difficulty, threshold)
            case "focal":
                return focal_weights(hardness)
            case "none":
                return torch.ones_like(hardness)

    def _by_sample(self, rows: Tensor) -> Tensor:
        return rows.unflatten(0, (-1, self.views_a_sample))

    def report(self) -> dict[str, float]:
        """How near the student's classes lie, as figure, table and picture."""
        relations = None
        if isinstance(contrast := dict(self.learnt).get("contrast"), CategoryContrast):
            student, teacher = (head.weight.float() for head in self.heads)
            relations = partial(contrast.relations, student_head=student, teacher_head=teacher)
        return report_classes(self.student, self.data, self.run, relations=relations)

    def state_dict(self) -> dict[str, Any]:
        """Student, what is learnt beside it, and optimizer, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "learnt": self.learnt.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "teacher": self.teacher.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.learnt.load_state_dict(state["learnt"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.teacher.load_state_dict(state["teacher"])
