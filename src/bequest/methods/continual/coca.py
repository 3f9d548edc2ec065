"""CoCa: replay whose stored logits and whose features are both kept from drifting.

Zhong Ji, Jin Li, Qiang Wang, Zhongfei Zhang, "Complementary Calibration: Boosting General Continual
Learning with Collaborative Distillation and Self-Supervision", IEEE Transactions on Image
Processing 2023. In: a network, and a stream of labelled images that comes once, without word of
tasks. Out: the network, trained at each step by

    L = CE(arriving) + L_CD + L_ER + contrast_weight L_con + pretext_weight L_pre

    L_CD   alpha MSE(o', (1 - gamma) l' + gamma T) on a draw from a reservoir of the past: l' are
           the logits reserved when a sample arrived, T = (1 - w) (I - w A)^-1 o' what similar
           samples of the draw say together, A the softmax of their cosines
    L_ER   beta CE on a second, independent draw
    L_con  supervised contrast of what arrived, the second draw, and changed copies of both
    L_pre  telling which of 4 (or 16) changes a copy went through, a turn and a cut

With `ensemble` and both weights of self-supervision 0 it is DER++, draw for draw.

`alpha`, `beta`: as in DER++; `ensemble`: gamma, `propagation`: omega, both as published.

Differs: the published code tells training where tasks begin; without boundaries, the paper's
general setting, all classes are in both cross-entropies (inferred). The classifier is the
network's own, with its bias. Turns go the other way round, which renames their labels.
Trap: turned handwriting can become another digit, which the contrast then pulls to the wrong class:
a 6 and a 9, for example. Leave such a class out, or take a smaller `turn`.
Trap: each of the four passes has BatchNorm statistics of its own. `alpha` scales with the number of
classes, over which the error is a mean. With several processes, affinities and contrast are among
each process's share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.contrastive import supervised_contrast
from bequest.losses.ensembling import ensembled_logits
from bequest.memory.stream import Exam, Stream
from bequest.methods.base import (
    Count,
    Discount,
    Fraction,
    NonNegative,
    NonNegativeInt,
    Positive,
    method,
)
from bequest.nn.inspection import penultimate_layer
from bequest.nn.projection_head import ProjectionHead
from bequest.nn.watch import Watch
from bequest.ops.pretext import balanced_labels, cut_and_turned
from bequest.run import Result, Run
from bequest.synthesis.examiner import Examiner
from bequest.synthesis.rehearsal import Rehearsal, check_learner

_KINDS = {"turns": 4, "turns-and-cuts": 16}


@method
class CoCa:
    """Complementary Calibration: collaborative distillation and self-supervision."""

    alpha: NonNegative = 0.1
    """Of the collaborative distillation; published .1 to .2 on CIFAR."""
    beta: NonNegative = 0.5
    """Of the cross-entropy of replayed labels; published .5 to 1."""
    ensemble: Fraction = 0.01
    """gamma: share of the ensemble in the target; the rest are reserved logits."""
    propagation: Discount = 0.1
    """omega: what similar samples count in the ensemble."""
    contrast_weight: NonNegative = 0.3
    """Of the supervised contrast; 0 is off."""
    temperature: Positive = 0.07
    """Of the cosines in the contrast."""
    pretext_weight: NonNegative = 0.3
    """Of the pretext task; 0 is off."""
    pretext: Literal["turns", "turns-and-cuts"] = "turns"
    """Changes to tell apart: 4 turns of a cut for images of 32 pixels; for larger ones 4 shapes of
    the cut besides."""
    turn: Positive = 90.0
    """Degrees of a turn: an image is turned by 0, 1, 2 or -1 times that. Smaller ones keep what
    quarter turns change into something else, such as handwriting (ours)."""
    embedding_dim: Count = 64
    """Length of the vectors that are compared; published 32 for MNIST."""
    head_layers: NonNegativeInt = 2
    """Hidden layers of both heads; published 1 for MNIST."""
    buffer_size: NonNegativeInt = 200
    """Samples that are kept of the stream."""
    replay_batch: Count = 32
    """Samples of each draw."""
    boundaries: bool = False
    """Tell training which classes the stretch at hand has, as the published code does."""
    learning_rate: Positive = 0.03
    """Of SGD, constant; published for sequential CIFAR-10."""
    momentum: Fraction = 0.0
    """Of the optimizer, SGD."""
    weight_decay: NonNegative = 0.0
    """Of the optimizer, SGD."""
    crop_padding: NonNegativeInt = 4
    """Augmentation: pixels of padding before a random crop."""
    flip: bool = True
    """Augmentation: mirror half of the images."""

    def fit(self, network: nn.Module, *, stream: Stream, exams: Sequence[Exam], run: Run) -> Result:
        """Trains `network` in place on the stream, from its first batch to its last.

        Args:
            network: Takes images in [0, 1]; ends in a linear layer with a logit for each class
                that will ever come.
            stream: What arrives, in order; square images.
            exams: What the network is asked about at the end of each stretch.
            run: How to execute.

        Returns:
            The last network without its heads, and the figures of `Examiner.report`.

        Raises:
            InputError: When network, stream and exams do not fit, before any step.
        """
        network = run.place(network)
        check_learner(network, stream, run)
        examiner = Examiner(exams, stream, run)
        lesson = Lesson(network, stream, self, run)
        for step in run.steps(
            len(stream), name="stream", state={"lesson": lesson, "examiner": examiner}
        ):
            examiner.sit(step, network)
            lesson.step(step)
        return run.result(network, examiner.report(network))


class Lesson:
    """The network, both heads and the rehearsal: one step."""

    def __init__(self, network: nn.Module, stream: Stream, method: CoCa, run: Run) -> None:
        self.method, self.run = method, run
        self.watch = Watch(network, features=True)
        self.supervises_itself = method.contrast_weight > 0 or method.pretext_weight > 0
        self.kinds = _KINDS[method.pretext]
        features = penultimate_layer(network).in_features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            layers = method.head_layers
            self.projection = ProjectionHead(
                features, method.embedding_dim, hidden_layers=layers, unit=True
            )
            self.change = ProjectionHead(features, self.kinds, hidden_layers=layers)
        modules = nn.ModuleList((network, self.projection, self.change))
        run.place(modules).train()
        self.rehearsal = Rehearsal(stream, modules, method, run)

    def step(self, step: int) -> None:
        """One update, then the reservoir is offered what arrived."""
        m, rehearsal = self.method, self.rehearsal
        arrived = rehearsal.arriving(step)
        logits, vectors, _ = self.look(arrived.views)
        terms = {"current": rehearsal.current_loss(logits, arrived.labels, step)}
        seen = [(arrived.views, arrived.labels, vectors)]
        if rehearsal.remembers and m.alpha > 0:
            old = rehearsal.drawn()
            answer, similar, _ = self.look(old.views)
            target = self.target(answer, similar, old.logits)
            terms["distillation"] = m.alpha * F.mse_loss(answer, target)
        if rehearsal.remembers and m.beta > 0:
            old = rehearsal.drawn()
            answer, similar, _ = self.look(old.views)
            terms["replay"] = m.beta * rehearsal.replay_loss(answer, old.labels, step)
            seen.append((old.views, old.labels, similar))
        if self.supervises_itself:
            views, labels, vectors = (torch.cat(each) for each in zip(*seen))
            terms |= self.self_supervision(views, labels, vectors)
        rehearsal.update(terms)
        rehearsal.remember(step, logits)

    def look(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits `(batch, classes)`, unit vectors `(batch, dim)`, and features, of one pass."""
        with self.run.autocast():
            outputs = self.watch(views)
            assert outputs.features is not None
            # What nothing asks for is not computed: DER++ has no heads.
            asked = self.method.ensemble > 0 or self.method.contrast_weight > 0
            vectors = self.projection(outputs.features) if asked else outputs.features
        return outputs.logits.float(), vectors.float(), outputs.features

    def target(self, logits: Tensor, vectors: Tensor, reserved: Tensor) -> Tensor:
        """`(1 - gamma) l' + gamma T`, without gradient."""
        gamma = self.method.ensemble
        if gamma == 0:
            return reserved
        together = ensembled_logits(logits, vectors, weight=self.method.propagation)
        return (1 - gamma) * reserved + gamma * together

    def self_supervision(self, views: Tensor, labels: Tensor, vectors: Tensor) -> dict[str, Tensor]:
        """Changed copies of all views: near their class, and their change told."""
        m, rng = self.method, self.run.stream("pretext")
        changes = balanced_labels(len(views), self.kinds, rng)
        _, changed, features = self.look(cut_and_turned(views, changes, rng, degrees=m.turn))
        terms = {}
        if m.contrast_weight > 0:
            both, named = torch.cat((vectors, changed)), torch.cat((labels, labels))
            contrast = supervised_contrast(both, named, temperature=m.temperature).mean()
            terms["contrast"] = m.contrast_weight * contrast
        if m.pretext_weight > 0:
            with self.run.autocast():
                told = self.change(features)
            terms["pretext"] = m.pretext_weight * F.cross_entropy(told.float(), changes)
        return terms

    def state_dict(self) -> dict[str, Any]:
        """Network, heads, optimizer and memory, for a checkpoint."""
        return self.rehearsal.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.rehearsal.load_state_dict(state)
