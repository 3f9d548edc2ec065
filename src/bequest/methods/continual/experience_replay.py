"""Experience replay, DER++, fine-tuning and joint training: what continual methods are held to.

David Rolnick et al., "Experience Replay for Continual Learning", NeurIPS 2019 (ER), and Pietro
Buzzega et al., "Dark Experience for General Continual Learning: a Strong, Simple Baseline", NeurIPS
2020 (DER, DER++). In: a network, and a stream of labelled images that comes once. Out: the network,
trained at each step by

    CE(arriving) + alpha MSE(logits of a draw, those when it arrived) + beta CE(a second draw)

where both draws come from a reservoir of the stream's past. With `alpha` 0 this is ER, with `beta`
0 DER, with both DER++, with `buffer_size` 0 plain fine-tuning, and with `joint` besides, joint
training: the same samples in random order, so that nothing is there to forget.

Differs: ER passes what arrives and what is replayed through the network together in the authors'
code, here apart, as in DER++, so that BatchNorm sees each by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from bequest.memory.stream import Exam, Stream
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.run import Result, Run
from bequest.synthesis.examiner import Examiner
from bequest.synthesis.rehearsal import Rehearsal, check_learner


@method
class ExperienceReplay:
    """DER++, and what is left of it when its terms are switched off."""

    alpha: NonNegative = 0.1
    """Of the error between logits now and then, a mean over batch and classes; 0 is ER."""
    beta: NonNegative = 0.5
    """Of the cross-entropy of replayed labels; 0 is DER."""
    buffer_size: NonNegativeInt = 200
    """Samples that are kept of the stream; 0 keeps none: fine-tuning."""
    replay_batch: Count = 32
    """Samples of each draw."""
    joint: bool = False
    """Mix the whole stream before it comes: the upper control, at as many steps."""
    boundaries: bool = False
    """Tell training which classes the stretch at hand has."""
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
            network: Takes images in [0, 1]; has a logit for each class that will ever come.
            stream: What arrives, in order.
            exams: What the network is asked about at the end of each stretch.
            run: How to execute.

        Returns:
            The last network, and the figures of `Examiner.report`.

        Raises:
            InputError: When network, stream and exams do not fit, before any step.
        """
        network = run.place(network)
        check_learner(network, stream, run)
        network.train()
        stream = stream.mixed(run.stream("joint")) if self.joint else stream
        examiner = Examiner(exams, stream, run)
        rehearsal = Rehearsal(stream, network, self, run)
        state: dict[str, Any] = {"rehearsal": rehearsal, "examiner": examiner}
        for step in run.steps(len(stream), name="stream", state=state):
            examiner.sit(step, network)
            self.step(step, network, rehearsal, run)
        return run.result(network, examiner.report(network))

    def step(self, step: int, network: nn.Module, rehearsal: Rehearsal, run: Run) -> None:
        """One update, then the reservoir is offered what arrived."""

        def answer(views: Tensor) -> Tensor:
            with run.autocast():
                return network(views).float()

        arrived = rehearsal.arriving(step)
        logits = answer(arrived.views)
        terms = {"current": rehearsal.current_loss(logits, arrived.labels, step)}
        if rehearsal.remembers and self.alpha > 0:
            old = rehearsal.drawn()
            terms["distillation"] = self.alpha * F.mse_loss(answer(old.views), old.logits)
        if rehearsal.remembers and self.beta > 0:
            old = rehearsal.drawn()
            terms["replay"] = self.beta * rehearsal.replay_loss(answer(old.views), old.labels, step)
        rehearsal.update(terms)
        rehearsal.remember(step, logits)
