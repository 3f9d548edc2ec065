"""The worked example of the documentation is written to files and used as an installed plug-in."""

from __future__ import annotations

import importlib
import math
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from code_blocks import blocks

from bequest import catalog, declaration
from bequest.execute import Job, execute

PAGE = "add_a_method.md"
ID = "structured-noise"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[catalog.Entry]:
    """The example as `pip install` would leave it: modules and an entry point on the path."""
    files = {title: code for _, title, code in blocks(PAGE) if title}
    for title, code in files.items():
        (tmp_path / title).parent.mkdir(exist_ok=True)
        (tmp_path / title).write_text(code, encoding="utf-8")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    info = tmp_path / f"structured_noise-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["bequest.methods"]
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[bequest.methods]\n{lines}")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    catalog.methods.cache_clear()
    yield catalog.find(ID)
    catalog.methods.cache_clear()
    for name in [name for name in sys.modules if name.startswith("structured_noise")]:
        del sys.modules[name]


def test_the_example_is_under_sixty_lines_of_python() -> None:
    lines = [
        line
        for language, _, code in blocks(PAGE)
        if language == "python"
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
    assert "noise images" in declaration.docstring(plugin)
    assert [claim["id"] for claim in declaration.claims(plugin)] == ["spectrum-helps"]


def test_the_example_teaches_a_student(plugin: catalog.Entry, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    result = execute(Job(method=ID, size="smoke", fields={"steps": 150}), folder)
    # A guess is right in 10 % of all cases; the teacher of this size in 95 % and more.
    assert result.metrics["accuracy"] > 40
    assert (folder / "result.json").exists()
    assert (folder / "model.safetensors").exists()


def test_a_student_told_nothing_stays_at_chance(plugin: catalog.Entry) -> None:
    """What the test above asserts is learnt, not built in."""
    fields = {"steps": 1, "learning_rate": 1e-9}
    assert execute(Job(method=ID, size="smoke", fields=fields)).metrics["accuracy"] < 30


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
