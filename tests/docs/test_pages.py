"""What the pages tell people to type works."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
from code_blocks import FOLDER, blocks

from bequest import catalog
from bequest.cli.command import parse
from bequest.cli.main import COMMANDS

PAGES = sorted(path.name for path in FOLDER.glob("*.md"))
README = "../README.md"


def commands(page: str) -> list[str]:
    """Each `bequest ...` of the page's shell blocks, continued lines joined, comments off."""
    code = "".join(code for language, _, code in blocks(page) if language in ("bash", "sh"))
    lines = re.sub(r"\\\n\s*", "", code).splitlines()
    found = (re.search(r"\bbequest (?!\[).*", line) for line in lines if "pip install" not in line)
    return [match[0] for match in found if match]


@pytest.mark.parametrize("page", [*PAGES, README])
def test_every_command_is_understood(page: str, plugin: catalog.Entry) -> None:
    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        name = " ".join(words[:2]) if words[0] == "data" else words[0]
        if "--help" in words or "..." in words:
            assert name in COMMANDS, line
            continue
        module, attribute = COMMANDS[name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        parse(name, command, words[len(name.split()) :])


def test_commands_are_found_at_all() -> None:
    assert len([line for page in PAGES for line in commands(page)]) > 12
    assert "--student resnet20" in commands("index.md")[0]


@pytest.mark.parametrize("page", ["start.md", "networks.md"])
def test_the_python_code_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, _, code in blocks(page):
        if language == "python":
            exec(compile(code, page, "exec"), names)
    if page == "start.md":
        # What the page trains is a student, not a guess.
        assert names["result"].metrics["accuracy"] > 30
    else:
        assert names["logits"].shape == (4, 10)


def test_the_navigation_names_every_page() -> None:
    text = (FOLDER.parent / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page for page in PAGES if f": {page}" not in text] == []
