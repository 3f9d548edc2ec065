"""The worked example of the documentation is written to files and used as an installed plug-in."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest
import torch
from code_blocks import blocks

from bequest import catalog, declaration
from bequest.methods.base import change
from bequest.run import Run

PAGE, ID = "add_a_method.md", "structured-noise"


def test_the_example_is_under_sixty_lines_of_python() -> None:
    lines = [
        line
        for language, title, code in blocks(PAGE)
        if language == "python" and title.startswith("structured_noise/")
        for line in code.splitlines()
        if line.strip()
    ]
    assert 40 < len(lines) < 60
    assert max(map(len, lines)) <= 100


def test_the_example_is_in_the_catalogue_and_describes_itself(plugin: catalog.Entry) -> None:
    assert ID in catalog.methods()
    names = [field.name for field in declaration.fields(plugin)]
    assert names == ["exponent", "steps", "batch_size", "learning_rate"]
    assert all(field.doc for field in declaration.fields(plugin))
    assert "spectrum of natural images" in declaration.docstring(plugin)
    assert [claim["id"] for claim in declaration.claims(plugin)] == ["spectrum-helps"]


def test_the_example_passes_its_own_test(plugin: catalog.Entry, tmp_path: Path) -> None:
    code = next(code for _, title, code in blocks(PAGE) if title.startswith("tests/"))
    names: dict[str, object] = {}
    exec(compile(code, PAGE, "exec"), names)
    names["test_structured_noise"](tmp_path)


def test_the_example_teaches(plugin: catalog.Entry) -> None:
    """More steps, more knowledge; a guess is right in 10 % of all cases."""
    study, accuracy = plugin.load_study(), {}
    for steps in (1, 200):
        method = change(study.arms("smoke")[ID], steps=steps)
        with Run(seed=0) as run:
            accuracy[steps] = study.execute(method, "smoke", run).metrics["accuracy"]
    assert accuracy[1] < 25
    assert accuracy[200] > accuracy[1] + 15


def test_the_ablation_is_white_noise(plugin: catalog.Entry) -> None:
    arms = plugin.load_study().arms("smoke")
    assert arms["white-noise"].exponent == 0
    assert arms["structured-noise"] == plugin.load_method()(steps=100_000)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_the_spectrum_falls_as_said(plugin: catalog.Entry, exponent: float) -> None:
    spectral_noise = importlib.import_module("structured_noise.method").spectral_noise
    images = spectral_noise((400, 1, 32, 32), exponent, torch.Generator().manual_seed(0))
    assert images.min() == 0
    assert images.max() == 1
    amplitude = torch.fft.fft2(images).abs().mean((0, 1))
    # Twice the frequency along one axis: the amplitude falls by 2 ** exponent.
    slope = math.log2(amplitude[0, 4] / amplitude[0, 8])
    assert slope == pytest.approx(exponent, abs=0.1)
