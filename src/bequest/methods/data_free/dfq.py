"""DFQ: adversarial distillation whose generator is held to the teacher's BatchNorm statistics.

Yoojin Choi, Jihwan Choi, Mostafa El-Khamy, Jungwon Lee, "Data-Free Network Quantization With
Adversarial Knowledge Distillation", CVPR Workshops 2020. Generator and student play a minimax game
on the divergence from the teacher. An auxiliary loss keeps the generator's images where the
teacher is at home: at its BatchNorm statistics, sure of each image, and using all classes equally.
After a warm-up on the auxiliary loss alone, a round is one step of the generator and ten of the
student, each on fresh images.

The paper quantises the teacher: its student has the teacher's layers and fewer bits. Here, as in
the benchmarks of CMI and Fast, the same algorithm distils into any student.

Equations: `min_S max_G E KL(T(G(z)) || S(G(z))) - alpha L(G)` with the auxiliary loss `L = sum over
layers and channels of KL(N(m, v) || N(running_mean, running_var)) + E H(T(G(z))) - H(E T(G(z)))`:
statistics, instance categorical entropy, batch categorical entropy. `alpha` is the value of each
of the three weights here, so that each term can be switched off.

Differs: the authors published no code, and values marked with a star are those of a public
reproduction (da2so). One generator and one student, where the paper also tries several. The
generator is the library's own, with images cut to [0, 1]. The student's SGD has no Nesterov
momentum.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from bequest.losses.inversion import adversarial_loss, class_balance_loss
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.modes import frozen
from bequest.run import Result, Run
from bequest.synthesis.image_source import ImageSource
from bequest.synthesis.learner import Learner, cosine
from bequest.synthesis.observer import Monitor, observe, picture_images
from bequest.synthesis.statistics import BatchNormStatistics


def instance_entropy(logits: Tensor) -> Tensor:
    """Per-sample entropy of the softmax in nats: 0 where the network is sure.

    Args:
        logits: `(batch, classes)`.

    Returns:
        `(batch,)` in [0, log(classes)], fp32.
    """
    log_probability = torch.log_softmax(logits.float(), dim=1)
    return -(log_probability.exp() * log_probability).sum(1)


@method
class DFQ:
    """Data-free adversarial knowledge distillation, without the quantisation."""

    warmup_steps: NonNegativeInt = 20_000
    """Steps of the generator on the auxiliary loss alone (50 epochs of 400*)."""
    rounds: Count = 80_000
    """Rounds of one generator step and some student steps (200 epochs of 400*)."""
    student_steps: Count = 10
    """Steps of the student a round (10*)."""
    batch_size: Count = 256
    """Images of a step (256*)."""
    adversarial_weight: NonNegative = 1.0
    """Of the divergence that the generator maximises; 0 never looks at the student."""
    bn_weight: NonNegative = 0.01
    """alpha, of the BatchNorm statistics (0.01*); 0 needs no BatchNorm."""
    instance_weight: NonNegative = 0.01
    """alpha, of the instance categorical entropy (0.01*)."""
    balance_weight: NonNegative = 0.01
    """alpha, of the batch categorical entropy (0.01*)."""
    lr_generator: Positive = 1e-3
    """Of the generator's Adam (1e-3*); constant in the warm-up, then cosine."""
    latent_dim: Count = 512
    """Length of the latent vectors (512*)."""
    generator_width: Count = 64
    """Channels of the generator's last hidden layer (64*)."""
    temperature: Positive = 1.0
    """T of the student's loss (1*; CMI's benchmark: 20); the generator's is 1."""
    learning_rate: Positive = 0.1
    """Of the student's SGD (0.1*); cosine to a thousandth of it."""
    momentum: Fraction = 0.9
    """Of the student's SGD (0.9*)."""
    weight_decay: NonNegative = 0.0
    """Of the student's SGD (none*; CMI's benchmark: 1e-4)."""
    crop_padding: NonNegativeInt = 0
    """Augmentation; none*, for no image comes twice."""
    flip: bool = False
    """Augmentation; none*."""
    reuse_teacher_logits: bool = False
    """No image comes twice, so nothing can be reused."""

    def generator_loss(
        self, logits: Tensor, *, statistics: Tensor | None, student_logits: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`-KL(T || S) + alpha L`, what the generator minimises.

        Args:
            logits: The teacher's, `(batch, classes)`.
            statistics: The divergence of the BatchNorm statistics, a scalar; None leaves it out.
            student_logits: `(batch, classes)`; None leaves the adversarial term out.

        Returns:
            The scalar, and its terms before their weights.
        """
        terms = {
            "instance": instance_entropy(logits).mean(),
            "balance": class_balance_loss(logits),
        }
        loss = self.instance_weight * terms["instance"] + self.balance_weight * terms["balance"]
        if statistics is not None:
            terms["bn"] = statistics
            loss = loss + self.bn_weight * statistics
        if student_logits is not None:
            terms["adversarial"] = adversarial_loss(student_logits, logits)
            loss = loss + self.adversarial_weight * terms["adversarial"]
        return loss, terms

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

        Raises:
            InputError: When there is a statistics term and the teacher has no BatchNorm.
        """
        teacher, student = run.place(teacher), run.place(student).train()
        statistics = BatchNormStatistics(teacher) if self.bn_weight > 0 else None
        source = ImageSource(
            teacher,
            image_size,
            run,
            latent_dim=self.latent_dim,
            width=self.generator_width,
            learning_rate=self.lr_generator,
            betas=(0.5, 0.999),
        )
        learner = Learner(teacher, student, self, run)
        state = {"learner": learner, "source": source}

        def improve(*, adversarial: bool, rate: float) -> None:
            """One step of the generator."""
            with frozen(student), statistics or nullcontext():
                with run.autocast():
                    images = source.generator(source.draw(self.batch_size))
                    logits = teacher(images)
                    answer = student(images) if adversarial else None
                loss, terms = self.generator_loss(
                    logits,
                    statistics=statistics.divergence() if statistics else None,
                    student_logits=answer,
                )
                source.step(loss, rate=rate)
                run.log(**terms)

        with frozen(teacher):
            for _ in run.steps(self.warmup_steps, name="warm-up", state=state):
                improve(adversarial=False, rate=1.0)

            for _ in run.steps(self.rounds, name="distillation", state=state):
                if run.due(times=20):
                    observe(student, None, run, monitor, fresh=lambda: source.held_back(teacher))
                with run.section("inversion"):
                    improve(adversarial=self.adversarial_weight > 0, rate=cosine(run.fraction))
                for _ in range(self.student_steps):
                    learner.step(source.images(source.draw(self.batch_size)))

            figures = observe(student, None, run, monitor, fresh=lambda: source.held_back(teacher))
            picture_images(*source.held_back(teacher), run)
        return run.result(student, figures)
