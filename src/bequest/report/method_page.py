"""A method's page of the documentation, from its source, its study and its measured claims."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bequest import declaration
from bequest.catalog import Entry
from bequest.claims.results import Report
from bequest.report.markdown import table
from bequest.report.readme_table import figures


def render_method_page(entry: Entry, reports: Sequence[Report] = ()) -> str:
    """The page in Markdown, all sections included.

    Args:
        entry: The method. Its study is imported, and with it torch.
        reports: What was measured; those of other methods are left out.

    Raises:
        InputError: When the method's source is not as methods are written.
    """
    own = [report for report in reports if report.study == entry.id]
    study = entry.load_study()
    parts = [
        f"# {entry.name}\n\n{entry.summary}\n",
        _paper(entry),
        f"## How it works\n\n{_prose(declaration.docstring(entry))}\n",
        _commands(entry),
        _fields(entry),
        _study(study),
        _claims(study, own),
        _source(entry),
    ]
    return "\n".join(parts)


def _paper(entry: Entry) -> str:
    paper = entry.paper
    if paper is None:
        return "**Paper:** none; it is a control that other methods are compared with.\n"
    link = f", [arXiv {paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})" if paper.arxiv else ""
    text = f"**Paper:** {paper.authors}, *{paper.title}*, {paper.venue} {paper.year}{link}\n"
    if entry.extras:
        text += f'\n**Needs:** `pip install "bequest[{",".join(entry.extras)}]"`\n'
    return text


def _commands(entry: Entry) -> str:
    lines = [
        f"bequest run {entry.id}            # the first arm of its study",
        f"bequest claim {entry.id}          # what it promises, measured",
        f"bequest show {entry.id}",
    ]
    return "```bash\n" + "\n".join(lines) + "\n```\n"


def _fields(entry: Entry) -> str:
    rows = [
        (f"`{f.name}`", f"`{f.annotation}`", f"`{f.default!r}`", " ".join(f.doc.split()))
        for f in declaration.fields(entry)
    ]
    return (
        f"## Hyper-parameters\n\n{table(('Field', 'Type', 'Default', 'What it is'), rows)}\n"
        "`Count` is a whole number of 1 or more, `Positive` a number above 0, `NonNegative` and "
        "`NonNegativeInt` are 0 or more, `Fraction` is 0 to 1. Anything else is refused.\n"
    )


def _study(study: Any) -> str:
    sizes = [(f"`{size}`", study.data.get(size, "")) for size in study.sizes]
    size = study.sizes[0]
    arms = study.arms(size)
    published = next(iter(arms.values()))
    rows = [(f"`{name}`", _difference(arm, published)) for name, arm in arms.items()]
    return (
        f"## Study\n\n{table(('Size', 'Data'), sizes)}\n"
        f"Its arms at size `{size}`:\n\n{table(('Arm', 'What it is'), rows)}"
    )


def _difference(arm: Any, published: Any) -> str:
    """What sets an arm apart: from the published method, or from its own class's defaults."""
    if arm is published:
        return f"`{type(arm).__name__}` as published, at the study's size"
    same = type(arm) is type(published)
    base = published if same else type(arm)()
    changes = ", ".join(
        f"`{field.name}={getattr(arm, field.name)!r}`"
        for field in dataclasses.fields(arm)
        if getattr(arm, field.name) != getattr(base, field.name)
    )
    return f"{'with' if same else f'`{type(arm).__name__}` with'} {changes or 'no change'}"


def _claims(study: Any, reports: Sequence[Report]) -> str:
    text = "## Claims\n\n"
    if not study.claims:
        return text + "None: it is a control.\n"
    rows = [
        (
            c.sentence + (f" (at size {', '.join(c.sizes)})" if c.sizes else ""),
            *(f"`{c.better}`", f"`{c.than}`", f"{c.metric} {c.by:+g}", c.source or "ours"),
        )
        for c in study.claims
    ]
    text += table(("Claim", "Arm", "Beats", "By at least", "Source"), rows) + "\n"
    if not reports:
        return text + f"Not measured yet: `bequest claim {study.id}`.\n"
    head = ("Claim", "Size", "Verdict", "Difference, 95 % interval", "Seeds")
    verdicts = [
        (claim.sentence, f"`{report.size}`", f"**{claim.verdict}**", figures(claim), claim.pairs)
        for report in reports
        for claim in report.claims
    ]
    text += f"As measured:\n\n{table(head, verdicts)}"
    return text + "".join(_arms_measured(report) for report in reports)


def _arms_measured(report: Report) -> str:
    """What each arm reached and what it cost."""
    rows = [
        (
            f"`{name}`",
            arm.metric,
            "no run ended" if arm.mean is None else f"{arm.mean:.1f}",
            "" if arm.sd is None else f"{arm.sd:.1f}",
            "" if arm.flops is None else f"{arm.flops:.2e}",
            "" if arm.cpu_seconds is None else f"{arm.cpu_seconds:.0f}",
        )
        for name, arm in report.arms.items()
    ]
    head = ("Arm", "Metric", "Mean", "Standard deviation", "FLOPs a run", "CPU seconds a run")
    return (
        f"\nThe arms at size `{report.size}`, {report.seeds} seeds, {report.created}:\n\n"
        f"{table(head, rows)}"
    )


def _source(entry: Entry) -> str:
    module = entry.method.split(":")[0]
    spec = importlib.util.find_spec(module)
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    block = "\n".join(f"    {line}".rstrip() for line in source.splitlines())
    return f'## Source\n\n??? note "`{module}`"\n\n    ```python\n{block}\n    ```\n'


def _prose(text: str) -> str:
    """A docstring as Markdown: its own first line as a paragraph, `Differs:` and `Trap:` bold."""
    return re.sub(r"^(Differs|Trap):", r"**\1:**", text, flags=re.MULTILINE)


def render_index(entries: Sequence[Entry], reports: Sequence[Report] = ()) -> str:
    """The page that lists all methods, with how many of their claims hold."""
    rows = []
    for entry in entries:
        verdicts = Counter(c.verdict for r in reports if r.study == entry.id for c in r.claims)
        text = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        published = f"{entry.paper.venue} {entry.paper.year}" if entry.paper else "a control"
        rows.append((f"[{entry.name}]({entry.id}.md)", entry.summary, published, text or "none"))
    return f"# All methods\n\n{table(('Method', 'What it does', 'Published', 'Verdicts'), rows)}"
