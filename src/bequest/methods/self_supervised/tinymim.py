"""TinyMIM: a small vision transformer learns who looks at whom in a large one.

Sucheng Ren, Fangyun Wei, Zheng Zhang, Han Hu, "TinyMIM: An Empirical Study of Distilling MIM
Pre-trained Models", CVPR 2023. The teacher was pre-trained by masked image modelling; there are no
labels, no pixels to guess and no masks. With q, k, v of one attention layer, split into h heads of
d channels, and s = d^(-1/2), the student's last layer is held to a layer of the teacher:

    R_qk = softmax(q k^T s)     R_vv = softmax(v v^T s)             the relations
    L = KL(R_qk of the teacher || of the student) + KL(R_vv ...)    mean over images, heads, rows

Both sides are split into as many heads as the teacher's layer has, so that widths may differ. In
the student's last block q, k and v alone are trained: its output projection, its MLP and what
follows stay as they began, until fine-tuning. The forward passes end at these layers.

What the paper compares this with can be chosen: tokens or the class token as targets, other kinds
of relations, no softmax, masked input, another layer of the teacher, more drop path, and networks
of middle size on the way.

Trap: the published code takes the logarithm of a softmax, which is minus infinity where half
precision rounds to 0; here it is `log_softmax`. Differs: that code fixes the head count of the last
block, the teacher's layer and the depth of 12 by hand; here they come from the networks. A network
of middle size is read with the heads it was trained with, the code reads it with its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.losses.relations import class_token_kl, feature_error, relation_error, relation_kl
from bequest.memory.epochs import EpochSampler
from bequest.memory.replay import to_floats
from bequest.memory.unlabelled import UnlabelledPool
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.masked_autoencoder import random_order
from bequest.nn.modes import frozen
from bequest.nn.parameter_groups import decay_groups
from bequest.nn.transformer_layers import LayerTap, drop_path, prefix_tokens, visible_tokens
from bequest.ops.color_jitter import color_jitter
from bequest.ops.crops import random_resized_crop
from bequest.ops.token_relations import relation_scores
from bequest.run import Result, Run
from bequest.run.update import update
from bequest.synthesis.learner import warm_cosine
from bequest.synthesis.observer import Monitor
from bequest.synthesis.relation_report import RelationReport


@method
class TinyMIM:
    """TinyMIM: An Empirical Study of Distilling MIM Pre-trained Models."""

    steps: Count = 94_000
    """Updates of each student (300 passes over ImageNet in batches of 4,096)."""
    batch_size: Count = 4096
    """Images of an update; fewer where there are fewer."""
    target: Literal["relations", "features", "class-token"] = "relations"
    """What the student is held to: relations of q, k, v; all tokens behind the layer (whitened,
    through a linear layer, smooth L1: inferred); the class token behind the layer (KL of the
    softmax over channels, through a linear layer: inferred)."""
    relations: tuple[Literal["qk", "vv", "qq", "kk"], ...] = ("qk", "vv")
    """Which relations, weighed alike; `qk` is the attention map."""
    softmax: bool = True
    """Whether relations are softmaxes compared by KL; otherwise scores compared by their mean
    squared difference (inferred)."""
    teacher_layer: NonNegativeInt = 0
    """Of the teacher, counted from 1; 0 takes three quarters of its depth, as 18 of MAE-L's 24.
    Published: the last for a teacher as deep as the student. Networks on the way: their last."""
    heads: Literal["teacher", "mean"] = "teacher"
    """Split both sides into the heads of the teacher's layer, or average each side's relations over
    its own heads first (ours, what it costs to have no common heads)."""
    teacher_heads: NonNegativeInt = 0
    """Read the teacher's layer with another number of heads, for a teacher that was itself
    distilled with another than it says; 0 takes its own."""
    sequential: bool = False
    """Whether networks of middle size that are handed in are taught first, one after the other, and
    each teaches the next."""
    mask_ratio: Fraction = 0.0
    """Share of the patches that neither network sees; 0 is raw input, the published choice."""
    drop_path: Fraction = 0.1
    """Chance that a block of the student, but for the last, is left out for an image; the same in
    all blocks, below 1."""
    learning_rate: Positive = 2.4e-3
    """Of AdamW (1.5e-4 for each 256 images of a batch): a line up, half a cosine down to 0."""
    weight_decay: NonNegative = 0.05
    """Of matrices; biases, norms and tokens have none."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    """Of AdamW: how much of its two running means each update keeps."""
    warm_up: Fraction = 0.05
    """Share of the run in which the learning rate rises (15 of 300 epochs)."""
    smallest_crop: Fraction = 0.2
    """Augmentation of both: smallest area of a zoomed crop, the same for both; 0 leaves it out."""
    flip: bool = True
    """Augmentation of both: mirror half of the crops."""
    jitter: NonNegative = 0.4
    """Augmentation of the student alone: brightness, contrast and saturation; 0 leaves it out."""

    def fit(
        self,
        teacher: nn.Module,
        student: nn.Module,
        *,
        images: Tensor,
        image_size: tuple[int, int, int],
        run: Run,
        middle: Sequence[nn.Module] = (),
        monitor: Monitor | None = None,
    ) -> Result:
        """Pre-trains `student` in place, to be fine-tuned afterwards.

        Args:
            teacher: A pre-trained vision transformer as in timm, which takes images in [0, 1]:
                wrap it in `nn.normalize.Normalized` where it does not. Unchanged at the end.
            student: The like, smaller, with the same number of patches.
            images: `(count, channels, height, width)`, uint8, without labels: 64 or more.
            image_size: `(channels, height, width)`.
            run: How to execute.
            middle: Networks on the way, largest first, where `sequential` says to use them: each
                is trained as `student` is, by the one before it. `steps` are for each of them.
            monitor: Figures of the student to report during the run.

        Returns:
            The student, and `relation_correlation` with its teacher on images held back.

        Raises:
            InputError: When images or networks do not fit, before any work.
        """
        pool = UnlabelledPool(images, image_size=image_size, device=run.device)
        if self.sequential and not middle:
            raise InputError("sequential needs networks on the way: give them as `middle`.")
        chain = [
            run.place(network)
            for network in (teacher, *(middle if self.sequential else ()), student)
        ]
        lessons: list[Lesson] = []
        for taught_by, learner in itertools.pairwise(chain):
            before = lessons[-1] if lessons else None
            lessons.append(Lesson(taught_by, learner, self, run, pool=pool, before=before))
        learners = nn.ModuleList(chain[1:])
        batch = min(self.batch_size, len(pool))
        for stage, lesson in enumerate(lessons, start=1):
            epoch = EpochSampler(len(pool), run.device)
            # All learners: a run that is resumed in a later stage needs what the earlier ones made.
            state = {"learners": learners, "lesson": lesson, "epoch": epoch}
            name = "distillation" if len(lessons) == 1 else f"distillation {stage}"
            with frozen(lesson.teacher.network):
                for step in run.steps(self.steps, name=name, state=state):
                    if step and run.due(times=10):
                        run.record(**lesson.observe(monitor))
                    lesson.step(pool.take(epoch.draw(batch, run.stream("order"))))
        return run.result(student, lessons[-1].observe(monitor))


class Lesson:
    """One student, its teacher and its optimizer: one step.

    Args:
        teacher: On the run's device.
        student: On the run's device; trained in place.
        method: What is learnt and how.
        run: How to execute.
        pool: The images.
        before: The lesson that made the teacher, where there was one.

    Raises:
        InputError: When teacher, student and method do not fit.
    """

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        method: TinyMIM,
        run: Run,
        *,
        pool: UnlabelledPool,
        before: Lesson | None = None,
    ) -> None:
        self.method, self.run, self.pool = method, run, pool
        layers = len(LayerTap(teacher, name="teacher").blocks)
        layer = layers if before else method.teacher_layer or max(1, round(0.75 * layers))
        self.teacher = LayerTap(teacher, layer, name="teacher")
        self.student = LayerTap(student, name="student")
        asked = before.heads if before else method.teacher_heads
        self.heads: int = asked or self.teacher.heads
        self.prefix = prefix_tokens(teacher)
        self.patches = self._require_fit(to_floats(pool.held_back[:2]))
        self.projector: nn.Module = nn.Identity()
        if method.target != "relations":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(run.seed)
                self.projector = nn.Linear(self.student.dim, self.teacher.dim).to(run.device)
        student.train()
        groups = decay_groups(
            nn.ModuleList([student, self.projector]), weight_decay=method.weight_decay
        )
        self.optimizer = torch.optim.AdamW(groups, lr=method.learning_rate, betas=method.betas)

    def step(self, pixels: Tensor) -> None:
        """One update on uint8 images, the same in all processes."""
        m, run = self.method, self.run
        views = to_floats(pixels)
        if m.smallest_crop > 0:
            views = random_resized_crop(views, run.rng, smallest=m.smallest_crop, flip=m.flip)
        jittered = color_jitter(views, run.rng, strength=m.jitter)
        kept: Tensor | None = None
        if m.mask_ratio > 0:
            order = random_order(len(views), self.patches, run.stream("mask"))
            kept = run.share(order[:, : self._visible()])
        terms = self.terms(run.share(jittered), run.share(views), kept=kept)
        loss = torch.stack(list(terms.values())).sum()
        rate = m.learning_rate * warm_cosine(run.fraction, m.warm_up)
        update(run, loss, self.optimizer, self.student.network, self.projector, rate=rate)
        run.log(loss=loss, **terms)

    def terms(
        self, student_view: Tensor, teacher_view: Tensor, *, kept: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the loss by name, scalars.

        Args:
            student_view: `(batch, channels, height, width)` in [0, 1].
            teacher_view: The like.
            kept: Patches that are visible `(batch, visible)`; None: all.
        """
        m, run = self.method, self.run
        ask = LayerTap.projections if m.target == "relations" else LayerTap.tokens
        with run.autocast():
            with torch.no_grad(), visible_tokens(self.teacher.network, kept):
                taught = ask(self.teacher, teacher_view)
            with (
                visible_tokens(self.student.network, kept),
                drop_path(self.student.network, m.drop_path, run.stream("drop path")),
            ):
                learnt = ask(self.student, student_view)
            if m.target == "features":
                return {"features": feature_error(self.projector(learnt), taught)}
            if m.target == "class-token":
                learnt, taught = learnt[:, 0], taught[:, 0]
                return {"class_token": class_token_kl(self.projector(learnt), taught)}
            compare = relation_kl if m.softmax else relation_error
            mean_head = m.heads == "mean"
            student_heads = self.student.heads if mean_head else self.heads
            return {
                kind: compare(
                    relation_scores(learnt, kind, heads=student_heads),
                    relation_scores(taught, kind, heads=self.heads),
                    mean_head=mean_head,
                )
                for kind in m.relations
            }

    def observe(self, monitor: Monitor | None) -> dict[str, float]:
        """The correlation of relations on images held back, and `monitor`'s figures."""
        heads = self.heads if self.student.dim % self.heads == 0 else 0
        report = RelationReport(self.teacher, self.student, heads=heads, run=self.run)
        figures = report.correlation(self.pool.held_back, self.method.relations or ("qk",))
        return figures | (monitor(self.student.network) if monitor is not None else {})

    def _visible(self) -> int:
        return round(self.patches * (1 - self.method.mask_ratio))

    @torch.no_grad()
    def _require_fit(self, images: Tensor) -> int:
        """The number of patches, when everything fits."""
        m, (teacher, student) = self.method, (self.teacher, self.student)
        if m.target == "relations" and not m.relations:
            raise InputError("relations is empty: name at least one of qk, vv, qq, kk.")
        needs_heads = m.target == "relations" and m.heads == "teacher"
        for tap in (teacher, student) if needs_heads else (teacher,):
            if tap.dim % self.heads:
                raise InputError(
                    f"Layer {teacher.layer} of the teacher is read with {self.heads} heads, which "
                    f"do not divide the {tap.dim} channels of the {tap.name}: take a student whose "
                    "width they divide, other teacher_heads, or heads 'mean'."
                )
        with frozen(teacher.network, student.network):
            counts = [tap.projections(images).shape[1] for tap in (teacher, student)]
        if counts[0] != counts[1] or prefix_tokens(student.network) != self.prefix:
            raise InputError(
                f"The teacher has {counts[0]} tokens ({self.prefix} before the patches), the "
                f"student {counts[1]} ({prefix_tokens(student.network)}): both need the same "
                "patches of the same images."
            )
        patches = counts[0] - self.prefix
        if round(patches * (1 - m.mask_ratio)) < 1 or m.drop_path >= 1:
            raise InputError(
                f"mask_ratio {m.mask_ratio} leaves none of {patches} patches, or drop_path "
                f"{m.drop_path} none of the blocks: take less."
            )
        return patches

    def state_dict(self) -> dict[str, Any]:
        """Projector and optimizer, for a checkpoint; the student is kept beside."""
        return {
            "projector": self.projector.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.projector.load_state_dict(state["projector"])
        self.optimizer.load_state_dict(state["optimizer"])
