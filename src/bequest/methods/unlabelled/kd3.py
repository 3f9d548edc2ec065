"""KD3: distillation with unlabelled images from elsewhere, chosen anew in each epoch.

Jialiang Tang, Shuo Chen, Gang Niu, Masashi Sugiyama, Chen Gong, "Distribution Shift Matters for
Knowledge Distillation with Webly Collected Images", ICCV 2023. The teacher's data is gone, but
images of other origin are at hand. Teacher and student together choose those that they are sure of
(1, dynamic instance selection); the student's features are brought to the teacher's and classified
by the teacher's own last layer (2, feature and classifier alignment); the student learns to know an
image again whose first two moments were mixed with another's (3, MixDistribution contrast). There
is no label and, with the shared classifier, no term on logits.

Steps are numbered as the components above. Where the paper and its published code leave a choice
open, ours is named at the field. With `selection=False`, `weighting="none"` and `contrast="none"`
it is SimKD; with `classifier="own"` and `feature_weight=0` besides, logit distillation.

Differs: an epoch ends when what was kept is used up, and the run after a number of steps, so that
arms that keep different shares compare at the same number of student updates. Schedules follow the
fraction of the run that is over. At least one batch is always kept; the code stops on an empty
epoch.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.alignment import disagreement_weight, weighted_map_error
from bequest.losses.contrastive import nt_xent
from bequest.losses.distillation import agreement, kl_divergence
from bequest.memory.epochs import EpochSampler
from bequest.memory.replay import to_floats
from bequest.memory.unlabelled import UnlabelledPool
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.feature_map import find_feature_map
from bequest.nn.modes import frozen, statistics_untouched
from bequest.nn.shared_head import pool_to, share_head
from bequest.ops.augment import random_crop_flip
from bequest.ops.crops import random_resized_crop
from bequest.ops.mix_statistics import beta, mix_statistics
from bequest.ops.selection import Selected, dynamic_selection
from bequest.run import Result, Run
from bequest.run.update import update
from bequest.synthesis.learner import scheduled
from bequest.synthesis.observer import Monitor, observe, predict
from bequest.synthesis.selection_log import SelectionLog
from bequest.synthesis.shift import report_shift

_EPOCHS = 240  # of the published run, to which its schedules refer


def trust_in_teacher(fraction: float) -> float:
    """alpha(e) = 1 - exp(-5 ((e + 1) / 160 - 1)^2) while e < 120 of 240 epochs, then 0.

    Args:
        fraction: Share of the run that is over, in [0, 1]; e is 240 times that.

    Returns:
        The teacher's share of the mixed logits, in [0, 1].
    """
    epoch = _EPOCHS * fraction
    if epoch >= _EPOCHS / 2:
        return 0.0
    return 1 - math.exp(-5 * ((epoch + 1) / 160 - 1) ** 2)


@method
class KD3:
    """Distribution Shift Matters for Knowledge Distillation with Webly Collected Images."""

    steps: Count = 20_000
    """Student steps (the code: 240 passes over what is kept of the pool)."""
    batch_size: Count = 1024
    """Images of a student step; fewer where the pool is smaller."""
    selection: bool = True
    """1: whether an epoch takes what teacher and student are sure of; otherwise the whole pool."""
    trust: Literal["dynamic", "teacher", "student"] = "dynamic"
    """1: whose logits select: the teacher's first and the student's later, or those of one."""
    threshold: Fraction = 0.95
    """1: tau, the probability that a prediction of the most frequent class must exceed."""
    class_wise: bool = True
    """1: whether rare classes have a lower threshold."""
    smallest_share: Fraction = 0.0
    """1: always keep this share of the pool (ours; 0 is off)."""
    smallest_trust: Fraction = 0.0
    """1: never trust the teacher less than this under `dynamic` (ours; 0 is off)."""
    classifier: Literal["shared", "own"] = "shared"
    """2: classify by the teacher's last layer, or by the student's own, which then learns from the
    teacher's logits (inferred: the ablation needs a term that trains it)."""
    feature_weight: NonNegative = 1.0
    """2: of the feature alignment, the mean over all elements of the map."""
    weighting: Literal["disagreement", "normalized", "none"] = "disagreement"
    """2: weigh an image by the sigmoid of the distance of both logits; `normalized` divides the
    distance by its batch mean first, so that weights differ (ours)."""
    projector_factor: Count = 2
    """2: by how much narrower than the teacher's map the projector is inside."""
    contrast: Literal["code", "cross", "none"] = "code"
    """3: the perturbed image is told by the student's features of the image itself, as in the
    code, or by the teacher's (inferred from the paper's "instance alignment")."""
    contrast_weight: NonNegative = 1e-3
    """3: of the contrast."""
    contrast_temperature: Positive = 0.3
    """3: of the cosines."""
    teacher_contrast: bool = False
    """3: the code's second term, on the teacher's features; it trains nothing but a head that is
    thrown away, and costs a pass through the teacher, so it is off."""
    mix_concentration: Positive = 0.1
    """3: of the Beta distribution of how much of an image's own moments stays."""
    mixed_statistics: bool = True
    """3: whether perturbed images also move the student's running statistics, as in the code."""
    embedding_dim: Count = 128
    """3: length of the embeddings."""
    temperature: Positive = 4.0
    """T of the student's loss with its own classifier (inferred; the method has no such loss)."""
    learning_rate: Positive = 0.05
    """Of the student's SGD."""
    schedule: Literal["steps", "cosine"] = "steps"
    """Learning rate: a tenth at 150, 180 and 210 of 240 parts of the run, or cosine."""
    momentum: Fraction = 0.9
    """Of the student's SGD."""
    weight_decay: NonNegative = 5e-4
    """Of the student's SGD."""
    smallest_crop: Fraction = 0.08
    """Augmentation: smallest area of a zoomed crop; 0 leaves zooming out. Small images lose their
    content below 0.5."""
    crop_padding: NonNegativeInt = 0
    """Augmentation: pixels of padding before a random crop."""
    flip: bool = True
    """Augmentation: mirror half of the images."""

    def fit(
        self,
        teacher: nn.Module,
        student: nn.Module,
        *,
        pool: Tensor,
        image_size: tuple[int, int, int],
        num_classes: int,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains `student` to answer as `teacher` does, on images of other origin.

        Args:
            teacher: Takes images in [0, 1]; ends in a feature map, its average and a linear layer
                (with its own classifier: in any feature map); unchanged at the end.
            student: Takes images in [0, 1]; trained in place.
            pool: `(count, channels, height, width)`, uint8, without labels: 64 or more.
            image_size: `(channels, height, width)`.
            num_classes: Classes of both networks.
            run: How to execute.
            monitor: Figures to report during the run.

        Returns:
            The last student with projector and shared classifier, and its figures; with its own
            classifier, the student alone.

        Raises:
            InputError: When the pool or a network does not fit, before any work.
        """
        images = UnlabelledPool(pool, image_size=image_size, device=run.device)
        teacher = run.place(teacher)
        lesson = Lesson(teacher, student, self, run, image_size=image_size)
        epoch, log = EpochSampler(len(images), run.device), SelectionLog(len(images), run.device)
        state = {"lesson": lesson, "epoch": epoch, "log": log}
        batch = min(self.batch_size, len(images))
        with frozen(teacher):
            held_back = images.held_back, predict(teacher, images.held_back, run)
            for _ in run.steps(self.steps, name="distillation", state=state):
                if run.due(times=20):
                    observe(lesson.model, None, run, monitor, fresh=lambda: held_back)
                if epoch.is_over(batch):
                    places = None
                    if self.selection:
                        with run.section("selection"):
                            selected, agreed = lesson.select(images.training, least=batch)
                        places = selected.mask.nonzero().flatten()
                        log.tell(
                            selected, trust=self._trust(run.fraction), agreement=agreed, run=run
                        )
                    epoch.begin(places, run.stream("order"))
                lesson.step(images.take(epoch.next(batch)))
            figures = observe(lesson.model, None, run, monitor, fresh=lambda: held_back)
            figures |= report_shift(teacher, images.training, run)
            figures |= log.report(images.training, run)
        return run.result(lesson.deployed(), figures)

    def _trust(self, fraction: float) -> float:
        match self.trust:
            case "teacher":
                return 1.0
            case "student":
                return 0.0
            case "dynamic":
                return max(trust_in_teacher(fraction), self.smallest_trust)


class Lesson:
    """Student, projector, heads and optimizer: one selection pass, one step."""

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        method: KD3,
        run: Run,
        *,
        image_size: tuple[int, int, int],
    ) -> None:
        self.teacher, self.method, self.run = teacher, method, run
        shares = method.classifier == "shared"
        self.taught = find_feature_map(teacher, image_size=image_size, exact=shares, name="teacher")
        self.shared = share_head(
            student,
            teacher,
            taught=self.taught,
            image_size=image_size,
            factor=method.projector_factor,
        )
        self.heads = nn.ModuleDict(
            {
                "student": nn.Linear(self.shared.tap.channels, method.embedding_dim),
                "teacher": nn.Linear(self.taught.channels, method.embedding_dim),
            }
        )
        run.place(self.shared).train()
        run.place(self.heads)
        # What answers: with its own classifier, projector and shared head are scaffolding.
        self.model: nn.Module = self.shared if shares else student
        trained = [*self.shared.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.SGD(
            [p for p in trained if p.requires_grad],
            lr=method.learning_rate,
            momentum=method.momentum,
            weight_decay=method.weight_decay,
        )

    def deployed(self) -> nn.Module:
        """What is left when the lesson is over."""
        return self.shared.deployed() if self.model is self.shared else self.model

    def view(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """A randomly cut view of uint8 images, in [0, 1]."""
        m = self.method
        views = to_floats(images)
        if m.smallest_crop > 0:
            views = random_resized_crop(views, rng, smallest=m.smallest_crop, flip=m.flip)
        if m.crop_padding or (m.flip and m.smallest_crop == 0):
            flip = m.flip and m.smallest_crop == 0
            views = random_crop_flip(views, rng, padding=m.crop_padding, flip=flip)
        return views

    @torch.inference_mode()
    def select(self, images: Tensor, *, least: int) -> tuple[Selected, float]:
        """1: chooses among uint8 images by one look of both networks at one view of each.

        Returns:
            The choice, and how often both chose the same class, in [0, 1].
        """
        run, m = self.run, self.method
        taught, learnt = [], []
        self.model.eval()
        # Maps of 128 images stay near the processor, which is worth a third of the time there.
        for batch in images.split(128 if images.device.type == "cpu" else 1000):
            views = self.view(batch, run.stream("selection"))
            with run.autocast():
                taught.append(self.teacher(views).float())
                learnt.append(self.model(views).float())
        self.model.train()
        teacher_logits, student_logits = torch.cat(taught), torch.cat(learnt)
        selected = dynamic_selection(
            teacher_logits,
            student_logits,
            trust=m._trust(run.fraction),
            threshold=m.threshold,
            class_wise=m.class_wise,
            least=max(least, math.ceil(m.smallest_share * len(images))),
        )
        return selected, agreement(student_logits, teacher_logits).item()

    def step(self, images: Tensor) -> None:
        """One update on uint8 images, the same in all processes."""
        run, m = self.run, self.method
        views = self.view(images, run.rng)
        mixed = self._perturbed(views) if m.contrast != "none" else None
        views = run.share(views)
        with run.autocast():
            with torch.no_grad():
                teacher_map, teacher_logits = self.taught(self.teacher, views)
            answer = self.shared.answer(views)
        terms: dict[str, Tensor] = {}
        logits = answer.logits
        if m.classifier == "own":
            logits = answer.own_logits
            terms["divergence"] = kl_divergence(
                logits, teacher_logits, temperature=m.temperature
            ).mean()
        if m.feature_weight > 0:
            weight = None
            if m.weighting != "none":
                scale: Literal["mean", "none"] = "mean" if m.weighting == "normalized" else "none"
                weight = disagreement_weight(logits, teacher_logits, scale=scale)
                run.log(disagreement_weight=weight.mean())
            target = pool_to(teacher_map, self.shared.pooled_size)
            terms["features"] = m.feature_weight * weighted_map_error(
                answer.projected, target, weight
            )
        if mixed is not None:
            terms["contrast"] = m.contrast_weight * self._contrast(
                answer.features, teacher_map, run.share(mixed)
            )
        loss = torch.stack(list(terms.values())).sum()
        rate = m.learning_rate * scheduled(run.fraction, m.schedule)
        update(run, loss, self.optimizer, self.shared, self.heads, rate=rate)
        run.log(loss=loss, **terms)

    def _perturbed(self, views: Tensor) -> Tensor:
        """3: each view with moments between its own and another's."""
        rng = self.run.stream("mix")
        partners = torch.randperm(len(views), generator=rng, device=views.device)
        return mix_statistics(views, partners, beta(len(views), self.method.mix_concentration, rng))

    def _contrast(self, features: Tensor, teacher_map: Tensor, mixed: Tensor) -> Tensor:
        """3: a perturbed image must find the image itself."""
        m, run = self.method, self.run
        with run.autocast():
            if m.mixed_statistics:
                perturbed, _ = self.shared.tap(self.shared.backbone, mixed)
            else:
                with statistics_untouched(self.shared.backbone):
                    perturbed, _ = self.shared.tap(self.shared.backbone, mixed)
        again = self._embed("student", perturbed)
        itself = (
            self._embed("student", features)
            if m.contrast == "code"
            else self._embed("teacher", teacher_map)
        )
        loss = nt_xent(itself, again, temperature=m.contrast_temperature).mean()
        if m.teacher_contrast:
            with torch.no_grad(), run.autocast():
                mixed_map, _ = self.taught(self.teacher, mixed)
            pair = (self._embed("teacher", each) for each in (teacher_map, mixed_map))
            loss = loss + nt_xent(*pair, temperature=m.contrast_temperature).mean()
        return loss

    def _embed(self, whose: str, features: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(features.float(), 1).flatten(1)
        return F.normalize(self.heads[whose](pooled), dim=1)

    def state_dict(self) -> dict[str, Any]:
        """Student with projector, heads and optimizer, for a checkpoint."""
        return {
            "shared": self.shared.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.shared.load_state_dict(state["shared"])
        self.heads.load_state_dict(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])
