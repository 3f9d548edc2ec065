"""The page on distillation: its code runs, and its table is the catalogue's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from code_blocks import FOLDER, blocks

from bequest.losses.objectives.catalog import OBJECTIVES

PAGE = "distill.md"


def test_the_python_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, _, code in blocks(PAGE):
        if language == "python":
            exec(compile(code, PAGE, "exec"), names)
    assert names["result"].metrics["teacher_images"] == 3 * 64
    assert capsys.readouterr().out.splitlines()[-1] == "64"


def test_every_objective_is_listed_with_its_published_weights() -> None:
    text = (FOLDER / PAGE).read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\| ([\d.]+), ([\d.]+) \|$", text, re.MULTILINE)
    listed = [(id, float(weight), float(entropy)) for id, weight, entropy in rows]
    assert listed == [(r.id, r.weight, r.cross_entropy) for r in OBJECTIVES.values()]
