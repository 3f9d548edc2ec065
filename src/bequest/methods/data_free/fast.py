"""Fast: a meta-learnt generator that makes a batch in a few steps, and a pool that only grows.

Gongfan Fang, Kanya Mo, Xinchao Wang, Jie Song, Shitao Bei, Haofei Zhang, Mingli Song, "Up to 100x
Faster Data-Free Knowledge Distillation", AAAI 2022. Each round makes one batch of images from a
copy of the generator in a few steps (`synthesis/meta_inversion.py`) and adds it to the pool; the
student then takes several hundred steps on images drawn uniformly from the whole pool.

Differs: the pool is a tensor on the device with 8-bit pixels, where the authors' code writes and
reads PNG files; the numbers are the same. Images are drawn with replacement.
"""

from __future__ import annotations

from torch import nn

from bequest.memory.pool import ImagePool
from bequest.memory.replay import to_bytes
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.modes import frozen
from bequest.run import Result, Run
from bequest.synthesis.generators import ImageGenerator
from bequest.synthesis.learner import Learner
from bequest.synthesis.meta_inversion import InversionSettings, MetaInversion
from bequest.synthesis.observer import Monitor, observe, picture_pool, predict


@method
class Fast:
    """Fast-5 for a ResNet-34 teacher; Fast-2 and Fast-10 differ in steps and learning rates."""

    rounds: Count = 200
    """Rounds of inversion and distillation after the warm-up."""
    warmup_rounds: Count = 20
    """Rounds of inversion alone, without the adversarial term."""
    student_steps: Count = 400
    """Student steps a round."""
    synthesis_batch: Count = 256
    """New images a round."""
    batch_size: Count = 256
    """Images of a student step."""
    temperature: Positive = 20.0
    """T of the student's loss."""
    learning_rate: Positive = 0.2
    """Of the student's SGD; cosine to a thousandth of it, which is the official 2e-4."""
    momentum: Fraction = 0.9
    """Of the student's SGD."""
    weight_decay: NonNegative = 1e-4
    """Of the student's SGD."""
    inversion_steps: Count = 5
    """Adam steps of one inversion: 2, 5 or 10."""
    lr_generator: Positive = 3e-3
    """Of the generator: 5e-3, 3e-3 or 2e-3 for 2, 5 or 10 steps."""
    lr_latent: Positive = 1e-2
    """Of the latent vectors: 0.015, 0.01 or 0.01 for 2, 5 or 10 steps."""
    bn_weight: NonNegative = 10.0
    """Of the BatchNorm statistics loss."""
    task_weight: NonNegative = 0.5
    """Of the cross-entropy to the drawn class (0.4 for wide ResNets)."""
    adversarial_weight: NonNegative = 1.33
    """Of the adversarial loss (1.0 for VGG, 1.1 for wide ResNets)."""
    bn_momentum: Fraction = 0.9
    """Smoothing of the batch statistics over rounds."""
    generator_reset: Fraction = 0.6
    """Share of the run after which the generator's first layer is drawn anew once; 0: never."""
    latent_dim: Count = 256
    """Length of the latent vectors."""
    generator_width: Count = 64
    """Channels of the generator's last hidden layer."""
    crop_padding: NonNegativeInt = 4
    """Augmentation: pixels of padding before a random crop."""
    flip: bool = True
    """Augmentation: mirror half of the images."""
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
        generator = ImageGenerator(self.latent_dim, image_size, width=self.generator_width)
        inversion = MetaInversion(
            teacher,
            student,
            run.place(generator).train(),  # type: ignore[arg-type]
            num_classes=num_classes,
            settings=InversionSettings.of(self),
            run=run,
        )
        learner = Learner(teacher, student, self, run)
        pool = ImagePool((self.rounds + self.warmup_rounds) * self.synthesis_batch)
        state = {"learner": learner, "inversion": inversion, "pool": pool}

        def grow(*, adversarial: bool) -> None:
            images, terms = inversion(self.synthesis_batch, adversarial=adversarial)
            pixels = to_bytes(images)
            pool.add(pixels, predict(teacher, pixels, run))
            run.log(**terms)

        with frozen(teacher):
            for _ in run.steps(self.warmup_rounds, name="warm-up", state=state, log_every=1):
                grow(adversarial=False)

            total = self.rounds * self.student_steps
            for step in run.steps(total, name="distillation", state=state):
                if run.due(times=20):
                    observe(student, pool, run, monitor)
                if step % self.student_steps == 0:
                    if 0 < self.generator_reset <= run.fraction:
                        inversion.reset_first_layer()
                    with run.section("inversion"):
                        grow(adversarial=True)

                drawn = pool.training.take(pool.uniform(self.batch_size, run.rng))
                learner.step(drawn["images"], logits=drawn["logits"])

        figures = observe(student, pool, run, monitor)
        picture_pool(pool, run)
        return run.result(student, figures)
