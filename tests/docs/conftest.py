"""The plug-in of the worked example, installed for one test."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_blocks import blocks

from bequest import catalog


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[catalog.Entry]:
    """The example as `pip install` would leave it: modules and an entry point on the path."""
    files = {title: code for _, title, code in blocks("add_a_method.md") if title}
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
    yield catalog.find("structured-noise")
    catalog.methods.cache_clear()
    for name in [name for name in sys.modules if name.startswith("structured_noise")]:
        del sys.modules[name]
