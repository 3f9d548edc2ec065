"""The command line in an empty folder, and studies that take no time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command_line import Shell, shell_of

from bequest import catalog, report
from support.fake_claims import install


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    """Runs `bequest WORDS` in an empty folder with an empty cache; reports are one word long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BEQUEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "cache").mkdir()

    def write_report(folder: Path) -> Path:
        path = folder / "report.html"
        path.write_text("report", encoding="utf-8")
        return path

    monkeypatch.setitem(vars(report), "write_report", write_report)
    threads = torch.get_num_threads()
    yield shell_of(capsys)
    torch.set_num_threads(threads)  # which --threads sets


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The studies of `support.fake_claims`, which train nothing, in the catalogue."""
    install(tmp_path / "plugin")
    monkeypatch.syspath_prepend(tmp_path / "plugin")
    catalog.methods.cache_clear()
    yield
    catalog.methods.cache_clear()
