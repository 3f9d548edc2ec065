"""A lesson teaches a denoiser; what it is not given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.run import Run
from bequest.synthesis.denoising import DenoisingLesson, DenoisingSettings, check_images, turned

SETTINGS = DenoisingSettings(noise=25.0, batch_size=8, decay=0.75)


class Smoother(nn.Module):
    """The image times a number, which for images of 0 should become 0."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.ones(()))

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        return self.share * noisy


def test_noise_is_learnt_away_and_rates_fall() -> None:
    images = torch.zeros(4, 1, 6, 6, dtype=torch.uint8)
    denoiser = Smoother()
    with Run(seed=0, device="cpu", precision="fp32") as run:
        lesson = DenoisingLesson(
            denoiser, images, [([denoiser.share], 0.05)], SETTINGS, run,
            penalty=lambda: 0 * denoiser.share,
        )  # fmt: skip
        rates = []
        for _ in run.steps(66, state={"lesson": lesson}):
            lesson.step()
            rates.append(lesson.optimizer.param_groups[0]["lr"])
    assert abs(denoiser.share.item()) < 0.1
    assert rates[0] == 0.05
    assert rates[-1] == pytest.approx(0.05 * 0.75**10)


def test_the_loss_is_summed_as_if_a_patch_had_40_pixels_a_side() -> None:
    images = torch.zeros(4, 1, 10, 10, dtype=torch.uint8)
    denoiser, seen = Smoother(), []
    with Run(seed=0, device="cpu", precision="fp32") as run:
        lesson = DenoisingLesson(denoiser, images, [([denoiser.share], 1e-9)], SETTINGS, run)
        run.log = lambda **values: seen.append(values["error"].item())  # type: ignore[method-assign]
        for _ in run.steps(20, state={"lesson": lesson}):
            lesson.step()
    mean = 25 / 255 * (2 / torch.pi) ** 0.5
    assert sum(seen) / len(seen) == pytest.approx(1600 * mean, rel=0.05)


def test_all_eight_positions_occur_and_keep_the_pixels() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    rng = torch.Generator().manual_seed(0)
    seen = {tuple(turned(image, rng).flatten().tolist()) for _ in range(100)}
    assert len(seen) == 8
    assert all(sorted(pixels) == list(range(9)) for pixels in seen)
    assert turned(torch.rand(1, 1, 3, 4), rng).shape == (1, 1, 3, 4)


@pytest.mark.parametrize(
    "images", [torch.rand(2, 1, 4, 4), torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
               torch.zeros(0, 1, 4, 4, dtype=torch.uint8)],
)  # fmt: skip
def test_other_images_are_refused(images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="images must be"):
        check_images(images)
