"""The authors' trained convex ridge regularizer on our pictures, beside total variation.

    python benchmarks/convex_ridge_weights.py --checkpoint Sigma_25_t_10/checkpoint_10.pth

What the method reaches once it is trained for days of a CPU: the published weights (the repository
axgoujon/convex_ridge_regularizers, folder trained_models), with our equations, solver and search
for strengths, on the pictures of the study's default size, denoising at 25 of 255. Strengths are
found on its validation pictures. No timing: quality alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from bequest.data.pictures import middles, patches
from bequest.methods.reconstruction.convex_ridge import ConvexRidgeReconstructor
from bequest.methods.reconstruction.total_variation import TotalVariation
from bequest.metrics.images import psnr
from bequest.nn.convex_ridge import ConvexRidgeRegularizer
from bequest.run import Run
from bequest.studies.reconstruction.setting import SETTINGS, measured, recover
from bequest.synthesis.inverse_problem import tune


@dataclass
class Options:
    """Which weights."""

    checkpoint: Path
    """A file of trained_models, with one channel, 8 and 32 filters of 7x7."""


def main() -> None:
    """Prints PSNR on the validation and the test pictures."""
    options = tyro.cli(Options, description=__doc__)
    setting = dataclasses.replace(SETTINGS["default"], problems=("denoising",))
    pictures = setting.data()
    validation = middles(pictures.validation, side=setting.validation_side)
    test = middles(pictures.test, side=setting.test_side)
    table = Table("regularizer", "validation, dB", "test, dB", "of each test picture")
    regularizer = published(options.checkpoint)
    with Run(seed=0) as run, torch.no_grad():
        known, asked = (measured("denoising", part, setting, run) for part in (validation, test))
        ridge = ConvexRidgeReconstructor(regularizer.pruned(), problems=["denoising"])
        found = tune(ridge, known, run, factors=(4.0, 4.0))
        bank = patches(pictures.train, side=setting.patch, stride=setting.patch)
        variation = TotalVariation().fit(bank, problems=[known], run=run)
        rows = (
            ("convex ridge, published weights", ridge, found),
            ("total variation", variation.model, variation.metrics),
        )
        for name, model, figures in rows:
            images, _ = recover(model, asked)
            each = psnr(images, asked.truth).flatten().tolist()
            mean = sum(each) / len(each)
            reached = figures["denoising_validation_psnr"]
            table.add_row(
                name, f"{reached:.2f}", f"{mean:.2f}", "  ".join(f"{v:.2f}" for v in each)
            )
    Console().print(table)


def published(path: Path) -> ConvexRidgeRegularizer:
    """Our regularizer with the weights of that file, which hold tensors and numbers only."""
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    regularizer = ConvexRidgeRegularizer()
    with torch.no_grad():
        for layer, kernel in enumerate(regularizer.kernels):
            kernel.copy_(state[f"conv_layer.conv_layers.{layer}.parametrizations.weight.original"])
        coefficients = regularizer.activation.get_parameter("coefficients")
        coefficients.copy_(state["activation.coefficients_vect"].view_as(coefficients))
        regularizer.raw_strength.copy_(state["lmbd"])
        regularizer.raw_scale.copy_(state["mu"])
    return regularizer


if __name__ == "__main__":
    main()
