"""Generates a page for each method when the site is built, and takes in what stands elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from bequest.catalog import methods
from bequest.claims.results import Report
from bequest.report.measured import fill
from bequest.report.method_page import render_index, render_method_page
from bequest.report.readme_table import read_folder

_ROOT = Path(__file__).parents[1]
_SPEED = "<!-- benchmarks/RESULTS.md -->"


@cache
def _reports() -> list[Report]:
    """What `results/` holds, read once for all pages."""
    return read_folder(_ROOT / "results")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A row of the navigation for each method."""
    rows = [{entry.name: f"methods/{id}.md"} for id, entry in methods().items()]
    config.nav = [*(config.nav or []), {"Methods": ["methods/index.md", *rows]}]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """The pages themselves, from source, study and `results/`."""
    reports = _reports()
    pages = {
        f"methods/{id}.md": render_method_page(entry, reports) for id, entry in methods().items()
    }
    pages["methods/index.md"] = render_index(list(methods().values()), reports)
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Measured arms where a mark names them; the benchmarks, a level deeper than they stand."""
    markdown = fill(markdown, _reports())
    if _SPEED not in markdown:
        return markdown
    results = _ROOT / "benchmarks" / "RESULTS.md"
    text = results.read_text(encoding="utf-8") if results.exists() else "Nothing is recorded yet."
    lines = [f"#{line}" if line.startswith("#") else line for line in text.splitlines()]
    return markdown.replace(_SPEED, "\n".join(lines))
