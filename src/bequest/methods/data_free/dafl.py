"""DAFL: a generator for which the teacher is a fixed discriminator.

Hanting Chen, Yunhe Wang, Chang Xu, Zhaohui Yang, Chuanjian Liu, Boxin Shi, Chunjing Xu, Chao Xu,
Qi Tian, "Data-Free Learning of Student Networks", ICCV 2019. A generator learns to make images of
which the teacher is sure, which excite its features, and which fall into all classes equally
often. The student learns the teacher's answers on the same images, in the same step. The generator
never looks at the student: nothing seeks what the student still gets wrong.

Eq. numbers are the paper's: (2) one-hot loss, (3) activation loss on the penultimate features,
(4) information entropy loss, (5) their weighted sum, with `alpha` = `activation_weight` and `beta`
= `balance_weight`.

Differs: entropy is the plain sum in nats; eq. 4 divides it by the number of classes and the
official code takes base-10 logarithms, so that beta = 5 weighs 0.5 and 2.2 there at ten classes.
The activation loss is a mean over features, as in the official code, where eq. 3 has a sum. The
generator is the library's own; as the authors' it ends in a BatchNorm without weights, but is cut
to [0, 1]. The student is trained by SGD on a cosine; the authors lower its rate in steps on CIFAR
and take Adam on MNIST.
"""

from __future__ import annotations

from torch import Tensor, nn

from bequest.losses.inversion import activation_loss, class_balance_loss, one_hot_loss
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.inspection import FeatureTap, penultimate_layer
from bequest.nn.modes import frozen
from bequest.run import Result, Run
from bequest.synthesis.image_source import ImageSource
from bequest.synthesis.learner import Learner
from bequest.synthesis.observer import Monitor, observe, picture_images


@method
class DAFL:
    """Data-Free Learning of Student Networks."""

    steps: Count = 80_000
    """Steps of generator and student together (CMI's benchmark; the authors: 240,000 on CIFAR)."""
    batch_size: Count = 256
    """Images of a step (CMI's benchmark; the authors: 512 on MNIST, 1,024 on CIFAR)."""
    one_hot_weight: NonNegative = 1.0
    """Of the one-hot loss (paper: 1; official CIFAR-10 command: 0.05)."""
    activation_weight: NonNegative = 0.1
    """alpha, of the activation loss (paper: 0.1; official CIFAR-10 command: 0.01)."""
    balance_weight: NonNegative = 5.0
    """beta, of the information entropy loss (paper: 5; CMI's benchmark: 20)."""
    lr_generator: Positive = 1e-3
    """Of the generator's Adam, constant (CMI's benchmark; the authors: 0.2 on MNIST, 0.02 on CIFAR,
    which gave worse students here)."""
    latent_dim: Count = 100
    """Length of the latent vectors (official code: 100 on MNIST, 1,000 on CIFAR)."""
    generator_width: Count = 64
    """Channels of the generator's last hidden layer."""
    temperature: Positive = 1.0
    """T of the student's loss (official code: 1; CMI's benchmark: 20)."""
    learning_rate: Positive = 0.1
    """Of the student's SGD (official CIFAR command); cosine to a thousandth of it."""
    momentum: Fraction = 0.9
    """Of the student's SGD."""
    weight_decay: NonNegative = 5e-4
    """Of the student's SGD (official code)."""
    crop_padding: NonNegativeInt = 0
    """Augmentation; the authors have none, for no image comes twice."""
    flip: bool = False
    """Augmentation; the authors have none."""
    reuse_teacher_logits: bool = False
    """Take the teacher's answer on the image as it is for its crops and flips as well: cheaper."""

    def generator_loss(self, logits: Tensor, features: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """`L_oh + alpha L_a + beta L_ie` (eq. 5).

        Args:
            logits: The teacher's, `(batch, classes)`.
            features: What goes into the teacher's last linear layer, `(batch, features)`.

        Returns:
            The scalar, and its terms before their weights.
        """
        terms = {
            "one_hot": one_hot_loss(logits).mean(),  # eq. 2
            "activation": activation_loss(features),  # eq. 3
            "balance": class_balance_loss(logits),  # eq. 4
        }
        loss = (
            self.one_hot_weight * terms["one_hot"]
            + self.activation_weight * terms["activation"]
            + self.balance_weight * terms["balance"]
        )
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

        The teacher needs a linear layer at its end and no BatchNorm. See `SSDKD.fit` for the
        arguments.
        """
        teacher, student = run.place(teacher), run.place(student).train()
        source = ImageSource(
            teacher,
            image_size,
            run,
            latent_dim=self.latent_dim,
            width=self.generator_width,
            learning_rate=self.lr_generator,
        )
        learner = Learner(teacher, student, self, run)
        state = {"learner": learner, "source": source}

        with frozen(teacher), FeatureTap(penultimate_layer(teacher)) as tap:
            for _ in run.steps(self.steps, name="distillation", state=state):
                if run.due(times=20):
                    observe(student, None, run, monitor, fresh=lambda: source.held_back(teacher))
                with run.section("inversion"):
                    with run.autocast():
                        images = source.generator(source.draw(self.batch_size))
                        logits = teacher(images)
                    loss, terms = self.generator_loss(logits, tap.value)
                    source.step(loss)
                    run.log(**terms)
                learner.step(run.gather(images.detach()), logits=run.gather(logits.detach()))

            figures = observe(student, None, run, monitor, fresh=lambda: source.held_back(teacher))
            picture_images(*source.held_back(teacher), run)
        return run.result(student, figures)
