"""Images as parameters: one batch after another, optimised under any loss, the best one kept."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.memory.replay import to_bytes, to_floats
from bequest.run import Run


class PixelBatches:
    """A bank of images, turned batch by batch from what it holds into what a loss asks for.

    Each batch has an Adam of its own on its pixels, in the units of the network's normalisation.
    After every step pixels are clamped to what values in [0, 1] can become; kept is the batch of
    the smallest loss. In a distributed run every process makes all images, alike.

    Args:
        images: uint8 `(count, channels, height, width)`, what to begin with; written in place.
        mean: Of the normalisation, `(channels,)` or `(1,)`.
        std: See `mean`.
        batch_size: Divides `count`.
        steps: Of Adam, a batch.
        learning_rate: The highest; a warm-up and a cosine to 0 around it.
        warm_up: Share of the steps in which the rate rises.
        betas: Of Adam.
        jitter: Each look rolls the batch by up to so many pixels both ways.
        flip: Each look mirrors the batch with probability one half.
        half_steps: The first so many steps look at half the resolution, with half the jitter.
        run: Randomness (stream `jitter`) and device.
    """

    def __init__(
        self,
        images: Tensor,
        mean: Tensor,
        std: Tensor,
        *,
        batch_size: int,
        steps: int,
        learning_rate: float,
        warm_up: float,
        betas: tuple[float, float],
        jitter: int,
        flip: bool,
        half_steps: int,
        run: Run,
    ) -> None:
        self.images, self.batch_size, self.steps = images, batch_size, steps
        self.mean, self.std = (v.view(1, -1, 1, 1).to(images.device) for v in (mean, std))
        self.learning_rate, self.betas, self.run = learning_rate, betas, run
        self.warm_up, self.half_steps = max(round(warm_up * steps), 1), half_steps
        self.jitter, self.flip = jitter, flip
        self._places = slice(0, batch_size)
        self._best_loss = torch.full((), float("inf"), device=images.device)
        self._best = self.pixels = to_floats(images[:batch_size])
        self._begin(0)

    @property
    def total_steps(self) -> int:
        """Of all batches."""
        return len(self.images) // self.batch_size * self.steps

    def at_half(self, step: int) -> bool:
        """Whether that step looks at half the resolution."""
        return step % self.steps < self.half_steps

    def look(self, step: int) -> Tensor:
        """The batch as the network sees it at that step, normalised, with its gradient.

        Args:
            step: Counts over all batches.

        Returns:
            `(batch_size, channels, height, width)`, or half of height and width.
        """
        place = step % self.steps
        if place == 0:
            self._begin(step // self.steps)
        half = self.at_half(step)
        down, right, mirror = self._moves[place].tolist()
        if half:
            down, right = int(down / 2), int(right / 2)
        seen = F.avg_pool2d(self.pixels, 2) if half else self.pixels
        seen = seen.roll((down, right), (2, 3))
        return seen.flip(3) if self.flip and mirror else seen

    def unnormalized(self, seen: Tensor) -> Tensor:
        """The same batch in [0, 1]."""
        return seen * self.std + self.mean

    def step(self, step: int, loss: Tensor) -> None:
        """One Adam step down the loss of the last look; the last step of a batch stores it."""
        better = loss.detach() < self._best_loss
        self._best_loss = torch.where(better, loss.detach().float(), self._best_loss)
        self._best = torch.where(better, self.pixels.detach(), self._best)
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate * self._rate(step % self.steps)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        with torch.no_grad():
            self.pixels.clamp_(-self.mean / self.std, (1 - self.mean) / self.std)
        if step % self.steps == self.steps - 1:
            self.store()

    def store(self) -> None:
        """Writes the best of the batch at hand into the bank; nothing before its first step."""
        if torch.isfinite(self._best_loss):
            self.images[self._places] = to_bytes(self.unnormalized(self._best))

    def _rate(self, place: int) -> float:
        if place < self.warm_up:
            return (place + 1) / self.warm_up
        return 0.5 * (1 + math.cos(math.pi * (place - self.warm_up) / (self.steps - self.warm_up)))

    def _begin(self, number: int) -> None:
        start = number * self.batch_size
        self._places = slice(start, start + self.batch_size)
        begun = (to_floats(self.images[self._places]) - self.mean) / self.std
        self.pixels = begun.requires_grad_()
        self._optimizer = torch.optim.Adam([self.pixels], lr=self.learning_rate, betas=self.betas)
        self._best = begun.detach().clone()
        self._best_loss = torch.full((), float("inf"), device=begun.device)
        rng = self.run.stream("jitter")
        shape, reach = (self.steps, 2), self.jitter + 1
        rolls = torch.randint(-self.jitter, reach, shape, generator=rng, device=begun.device)
        mirrors = torch.randint(0, 2, (self.steps, 1), generator=rng, device=begun.device)
        # All at once, so that a GPU need not wait for the host at each step.
        self._moves = torch.cat([rolls, mirrors], dim=1).cpu()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint needs."""
        return {
            "images": self.images,
            "start": self._places.start,
            "pixels": self.pixels.detach(),
            "optimizer": self._optimizer.state_dict(),
            "best": self._best,
            "best_loss": self._best_loss,
            "moves": self._moves,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._places = slice(state["start"], state["start"] + self.batch_size)
        self.images.copy_(state["images"])
        with torch.no_grad():
            self.pixels.copy_(state["pixels"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._best.copy_(state["best"])
        self._best_loss.copy_(state["best_loss"])
        self._moves = state["moves"]
