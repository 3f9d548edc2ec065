"""A generator that is trained step by step beside the student, without a pool."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from bequest.nn.normalize import Normalized
from bequest.run import Run
from bequest.synthesis.generators import ImageGenerator
from bequest.synthesis.observer import predict


class ImageSource:
    """The generator, its Adam, and the latent vectors it is fed with.

    The generator stays in training mode, so that its BatchNorm always takes the statistics of the
    batch at hand, as in the public code of DAFL, ZSKT and CMI. Its images have the mean and the
    spread that the teacher's normalisation stands for.

    Args:
        teacher: Whose normalisation counts; nothing else is read.
        image_size: `(channels, height, width)`.
        run: Randomness, precision, processes. Latent vectors come from the streams `latent` and,
            for images that the student never trains on, `held-back`.
        latent_dim: Length of the latent vectors.
        width: Channels of the generator's last hidden layer.
        learning_rate: Of Adam.
        betas: Of Adam.
    """

    def __init__(
        self,
        teacher: nn.Module,
        image_size: tuple[int, int, int],
        run: Run,
        *,
        latent_dim: int,
        width: int,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        generator = ImageGenerator(
            latent_dim, image_size, width=width, pixels=normalization(teacher)
        )
        self.generator = run.place(generator).train()
        self.run, self.learning_rate, self._latent_dim = run, learning_rate, latent_dim
        self.optimizer = torch.optim.Adam(
            self.generator.parameters(), lr=learning_rate, betas=betas
        )

    def draw(self, count: int) -> Tensor:
        """This process's share of `count` fresh latent vectors from N(0, I), `(share, latent)`."""
        return self.run.share(self._latent(count, "latent"))

    def step(self, loss: Tensor, *, rate: float = 1.0, max_norm: float = math.inf) -> None:
        """One Adam step of the generator.

        Args:
            loss: A scalar that depends on the generator.
            rate: Factor of the learning rate, at least 0.
            max_norm: Longer gradients are scaled down to this norm.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.run.reduce(self.generator)
        if max_norm < math.inf:
            nn.utils.clip_grad_norm_(self.generator.parameters(), max_norm)
        self.optimizer.step()

    @torch.no_grad()
    def images(self, latent: Tensor) -> Tensor:
        """The images of all processes for their shares of the latent vectors, without gradient."""
        with self.run.autocast():
            images = self.generator(latent)
        return self.run.gather(images)

    @torch.no_grad()
    def held_back(self, teacher: nn.Module, *, count: int = 500) -> tuple[Tensor, Tensor]:
        """Images that the student is not trained on, and the teacher's logits on them.

        They come from a stream of their own: how often it is asked changes nothing else.

        Returns:
            Images `(count, channels, height, width)` in [0, 1] and logits `(count, classes)`.
        """
        with self.run.autocast():
            images = self.generator(self._latent(count, "held-back"))
        return images, predict(teacher, images, self.run)

    def _latent(self, count: int, stream: str) -> Tensor:
        shape = (count, self._latent_dim)
        return torch.randn(shape, generator=self.run.stream(stream), device=self.run.device)

    def state_dict(self) -> dict[str, Any]:
        """Generator and optimizer, for a checkpoint."""
        return {"generator": self.generator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.generator.load_state_dict(state["generator"])
        self.optimizer.load_state_dict(state["optimizer"])


def normalization(network: nn.Module) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the pixels that a network was trained on, by channel.

    Taken from its `Normalized` wrapper; without one, 0.5 and 0.25, about those of photographs.

    Returns:
        Two tensors `(channels,)` or `(1,)`.
    """
    for module in network.modules():
        if isinstance(module, Normalized):
            return module.mean.flatten(), module.std.flatten()
    return torch.tensor([0.5]), torch.tensor([0.25])
