"""The fake studies in the catalogue, and an empty cache folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bequest import catalog
from support.fake_claims import install


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("BEQUEST_CACHE", str(folder))
    return folder


@pytest.fixture
def fakes(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache folder, with the fake studies in the catalogue."""
    install(tmp_path / "plugin")
    monkeypatch.syspath_prepend(tmp_path / "plugin")
    catalog.methods.cache_clear()
    yield cache
    catalog.methods.cache_clear()
