"""Training of denoisers on clean images: noise is drawn on the fly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.run import Run
from bequest.run.update import update

DenoiserMonitor = Callable[[nn.Module], dict[str, float]]
"""Figures of a denoiser `(batch, 1, height, width)` to the same, for example its PSNR."""

Rates = Sequence[tuple[Sequence[nn.Parameter], float]]
"""Parameters with the learning rate that they start at."""

_PASSES = 11  # of the authors' run: rates decay after each


@dataclass(frozen=True, kw_only=True)
class DenoisingSettings:
    """What every denoiser is trained with.

    Attributes:
        noise: Standard deviation, in grey levels of 255.
        batch_size: Patches a step.
        decay: Learning rates are multiplied with it after each eleventh of the run.
    """

    noise: float
    batch_size: int
    decay: float


def check_images(images: Tensor) -> None:
    """Refuses what is no bank of grey images.

    Raises:
        InputError: Unless it is `(count, 1, height, width)`, uint8, with at least one.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 1 or not len(images):
        raise InputError(
            f"images must be (count, 1, height, width), uint8, at least one, not {images.dtype} "
            f"{tuple(images.shape)}. Convert colours to grey and numbers in [0, 1] to 0 .. 255."
        )


class DenoisingLesson:
    """A denoiser, its Adam, and one step of training.

    The loss is the authors': absolute errors, summed over pixels as if a patch had 40x40.

    Args:
        denoiser: `(batch, 1, height, width)` to the same; trained in place.
        images: `(count, 1, height, width)`, uint8: clean patches.
        rates: Its parameters with their learning rates.
        settings: See there.
        run: How to execute.
        penalty: Added to the loss.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        images: Tensor,
        rates: Rates,
        settings: DenoisingSettings,
        run: Run,
        *,
        penalty: Callable[[], Tensor] | None = None,
    ) -> None:
        check_images(images)
        self.denoiser, self.settings, self.run, self.penalty = denoiser, settings, run, penalty
        self.images = images.to(run.device)
        self.rates = [rate for _, rate in rates]
        groups = [{"params": list(parameters), "lr": rate} for parameters, rate in rates]
        self.optimizer = torch.optim.Adam(groups)

    def step(self) -> None:
        """One update on a batch of patches, mirrored and turned by chance."""
        run, s = self.run, self.settings
        rng = run.rng
        places = torch.randint(
            len(self.images), (s.batch_size,), generator=rng, device=self.images.device
        )
        clean = turned(self.images[places].float() / 255, rng)
        noise = torch.randn(clean.shape, generator=rng, device=clean.device)
        noisy = clean + s.noise / 255 * noise
        # Not under autocast: what a filter answers is a small difference of large numbers.
        error = (self.denoiser(run.share(noisy)) - run.share(clean)).abs().mean() * 40 * 40
        loss = error + self.penalty() if self.penalty else error
        factor = s.decay ** int(_PASSES * run.fraction)
        for group, rate in zip(self.optimizer.param_groups, self.rates):
            group["lr"] = rate * factor
        update(run, loss, self.optimizer, self.denoiser)
        run.log(loss=loss, error=error)

    def state_dict(self) -> dict[str, Any]:
        """Denoiser and optimizer, for a checkpoint."""
        return {
            "denoiser": self.denoiser.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.denoiser.load_state_dict(state["denoiser"])
        self.optimizer.load_state_dict(state["optimizer"])


@torch.no_grad()
def observe_denoiser(
    denoiser: nn.Module, run: Run, monitor: DenoiserMonitor | None
) -> dict[str, float]:
    """Records the monitor's figures, in evaluation mode; returns them."""
    if monitor is None:
        return {}
    training = denoiser.training
    with run.section("evaluation"):
        figures = monitor(denoiser.eval())
    denoiser.train(training)
    run.record(**figures)
    return figures


def turned(images: Tensor, rng: torch.Generator) -> Tensor:
    """The batch mirrored, upside down and transposed, each by a coin for the whole batch.

    For the whole, so that it stays a view; over many steps all eight positions occur.
    """
    coins = torch.randint(2, (3,), generator=rng, device=rng.device).tolist()
    dims = [axis for axis, coin in zip((2, 3), coins) if coin]
    images = images.flip(dims) if dims else images
    square = images.shape[2] == images.shape[3]
    return images.transpose(2, 3).contiguous() if coins[2] and square else images
