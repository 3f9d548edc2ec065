"""Pre-training of a vision transformer as a masked autoencoder: one step on a batch of images.

Kaiming He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.memory.replay import to_floats
from bequest.nn.masked_autoencoder import MaskedAutoencoder, random_order
from bequest.nn.parameter_groups import decay_groups
from bequest.ops.crops import random_resized_crop
from bequest.run import Run
from bequest.run.update import update
from bequest.synthesis.learner import warm_cosine


@dataclass(frozen=True, kw_only=True)
class MaskedSettings:
    """How an encoder is pre-trained; methods that do it have fields of these names."""

    mask_ratio: float
    normalize_patches: bool
    decoder_dim: int
    decoder_depth: int
    decoder_heads: int
    learning_rate: float
    weight_decay: float
    betas: tuple[float, float]
    warm_up: float
    smallest_crop: float
    flip: bool

    @classmethod
    def of(cls, method: Any) -> MaskedSettings:
        """The settings out of a method."""
        return cls(**{field.name: getattr(method, field.name) for field in fields(cls)})


class MaskedPretraining:
    """Encoder, decoder and optimizer.

    Args:
        encoder: See `nn.masked_autoencoder`; trained in place, on the run's device.
        method: Has the fields of `MaskedSettings`.
        image_size: `(channels, height, width)`.
        seed: Decides the decoder's first weights.
        run: Lends device, precision and processes.

    Raises:
        InputError: For an encoder or a mask that does not fit.
    """

    def __init__(
        self,
        encoder: nn.Module,
        method: Any,
        *,
        image_size: tuple[int, int, int],
        seed: int,
        run: Run,
    ) -> None:
        self.settings = settings = MaskedSettings.of(method)
        self.run = run
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = MaskedAutoencoder(
                encoder,
                image_size=image_size,
                dim=settings.decoder_dim,
                depth=settings.decoder_depth,
                heads=settings.decoder_heads,
            )
        self.visible = round(network.patches * (1 - settings.mask_ratio))
        if not 0 < self.visible < network.patches:
            raise InputError(
                f"With a mask_ratio of {settings.mask_ratio}, {self.visible} of {network.patches} "
                "patches are visible: some must be, and some must be hidden."
            )
        self.network = network.to(run.device).train()
        self.optimizer = torch.optim.AdamW(
            decay_groups(network, weight_decay=settings.weight_decay),
            lr=settings.learning_rate,
            betas=settings.betas,
        )

    def step(self, pixels: Tensor, *, fraction: float, rng: torch.Generator) -> Tensor:
        """One update on uint8 images, the same in all processes.

        Args:
            pixels: `(batch, channels, height, width)`.
            fraction: How much of the pre-training is over, in [0, 1]; decides the learning rate.
            rng: Crops and masks.

        Returns:
            The loss, a detached scalar.
        """
        s, run = self.settings, self.run
        images = to_floats(pixels)
        if s.smallest_crop > 0:
            images = random_resized_crop(images, rng, smallest=s.smallest_crop, flip=s.flip)
        order = random_order(len(images), self.network.patches, rng)
        images, order = run.share(images), run.share(order)
        with run.autocast():
            loss = self.network.loss(images, order, self.visible, normalize=s.normalize_patches)
        rate = s.learning_rate * warm_cosine(fraction, s.warm_up)
        update(run, loss, self.optimizer, self.network, rate=rate)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Encoder, decoder and optimizer, for a checkpoint."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
