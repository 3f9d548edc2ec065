"""MAE: a vision transformer pre-trained by guessing the patches that it does not see.

Kaiming He, Xinlei Chen, Saining Xie, Yanghao Li, Piotr Dollár, Ross Girshick, "Masked Autoencoders
Are Scalable Vision Learners", CVPR 2022. It is what TinyMIM's teachers come from and what its
students are compared with. The encoder sees a quarter of the patches; a small decoder, thrown away
afterwards, guesses the pixels of the others, each patch normalised by its own mean and deviation.
"""

from __future__ import annotations

from torch import Tensor, nn

from bequest.memory.epochs import EpochSampler
from bequest.memory.unlabelled import UnlabelledPool
from bequest.methods.base import Count, Fraction, NonNegative, Positive, method
from bequest.run import Result, Run
from bequest.synthesis.masked_pretraining import MaskedPretraining


@method
class MAE:
    """Masked Autoencoders Are Scalable Vision Learners."""

    steps: Count = 250_000
    """Updates (800 passes over ImageNet in batches of 4,096)."""
    batch_size: Count = 4096
    """Images of an update; fewer where there are fewer."""
    mask_ratio: Fraction = 0.75
    """Share of the patches that the encoder does not see."""
    normalize_patches: bool = True
    """Whether the decoder guesses each patch normalised by its own pixels."""
    decoder_dim: Count = 512
    """Channels of the decoder."""
    decoder_depth: Count = 8
    """Blocks of the decoder."""
    decoder_heads: Count = 16
    """Heads of the decoder's attention."""
    learning_rate: Positive = 2.4e-3
    """Of AdamW (1.5e-4 for each 256 images of a batch): a line up, half a cosine down to 0."""
    weight_decay: NonNegative = 0.05
    """Of matrices; biases, norms and tokens have none."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    """Of AdamW: how much of its two running means each update keeps."""
    warm_up: Fraction = 0.05
    """Share of the run in which the learning rate rises (40 of 800 epochs)."""
    smallest_crop: Fraction = 0.2
    """Augmentation: smallest area of a zoomed crop; 0 leaves zooming out."""
    flip: bool = True
    """Augmentation: mirror half of the crops."""

    def fit(
        self,
        student: nn.Module,
        *,
        images: Tensor,
        image_size: tuple[int, int, int],
        run: Run,
    ) -> Result:
        """Pre-trains `student` in place.

        Args:
            student: A vision transformer as in timm, which takes images in [0, 1]: wrap it in
                `nn.normalize.Normalized` where it does not.
            images: `(count, channels, height, width)`, uint8, without labels: 64 or more.
            image_size: `(channels, height, width)`.
            run: How to execute.

        Returns:
            The encoder; the decoder is thrown away.

        Raises:
            InputError: When images or network do not fit, before any work.
        """
        pool = UnlabelledPool(images, image_size=image_size, device=run.device)
        lesson = MaskedPretraining(
            run.place(student), self, image_size=image_size, seed=run.seed, run=run
        )
        epoch, batch = EpochSampler(len(pool), run.device), min(self.batch_size, len(pool))
        state = {"lesson": lesson, "epoch": epoch}
        for _ in run.steps(self.steps, name="masked pre-training", state=state):
            pixels = pool.take(epoch.draw(batch, run.stream("order")))
            run.log(loss=lesson.step(pixels, fraction=run.fraction, rng=run.rng))
        return run.result(student, {})
