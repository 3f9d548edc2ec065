"""A method's page says what source, study and results say."""

from __future__ import annotations

import pytest

from bequest import catalog, declaration
from bequest.catalog import Entry
from bequest.claims.results import ArmFigures, ClaimVerdict, Report
from bequest.report.method_page import render_index, render_method_page

ENTRIES = list(catalog.methods().values())


def report(study: str, *, verdict: str = "holds") -> Report:
    claim = ClaimVerdict(
        id="c", sentence="One beats two.", better="one", than="two", metric="accuracy", by=0.0,
        verdict=verdict, difference=2.04, interval=(0.4, 3.96), pairs=5,
    )  # fmt: skip
    arms = {
        "one": ArmFigures(metric="accuracy", mean=81.26, sd=1.0, values=[81.26], flops=2e12),
        "two": ArmFigures(metric="accuracy", mean=None, sd=None, values=[None]),
    }
    return Report(
        study=study, size="smoke", seeds=5, created="2025-01-31", environment={}, code="0",
        arms=arms, claims=[claim],
    )  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_the_page_of_every_method_is_whole(entry: Entry) -> None:
    page = render_method_page(entry)
    assert page.startswith(f"# {entry.name}\n\n{entry.summary}\n")
    if entry.paper is None:
        assert "it is a control" in page
    else:
        assert entry.paper.title in page
        assert f"{entry.paper.venue} {entry.paper.year}" in page
        assert f"https://arxiv.org/abs/{entry.paper.arxiv}" in page
    for field in declaration.fields(entry):
        assert f"| `{field.name}` | " in page
        assert field.doc, f"{field.name} has no text"
        assert " ".join(field.doc.split()).replace("|", r"\|") in page
    study = entry.load_study()
    for name in study.arms(study.sizes[0]):
        assert f"| `{name}` | " in page
    for claim in study.claims:
        assert claim.sentence in page
    assert study.claims or "None: it is a control." in page
    assert "@method" in page.split("## Source")[1]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_the_claims_of_the_page_are_those_of_the_declaration(entry: Entry) -> None:
    """`bequest show` reads claims from the source, the page from the study: they must agree."""
    declared = [claim["id"] for claim in declaration.claims(entry)]
    assert declared == [claim.id for claim in entry.load_study().claims]


def test_what_was_measured_is_shown_with_its_method_only() -> None:
    entry = catalog.find("ssd-kd")
    page = render_method_page(entry, [report("ssd-kd"), report("fast", verdict="fails")])
    assert "| One beats two. | `smoke` | **holds** | +2.0 [+0.4, +4.0] | 5 |" in page
    assert "| `one` | accuracy | 81.3 | 1.0 | 2.00e+12 |  |" in page
    assert "| `two` | accuracy | no run ended |" in page
    assert "**fails**" not in page
    assert "Not measured yet" not in page
    assert "Not measured yet: `bequest claim ssd-kd`." in render_method_page(entry)


def test_arms_say_what_sets_them_apart() -> None:
    page = render_method_page(catalog.find("ssd-kd"))
    assert "| `priority-only` | with `modulation=False` |" in page
    assert "| `uniform-noise` | `UniformNoise` with `steps=" in page


def test_the_index_counts_verdicts() -> None:
    entries = [catalog.find("ssd-kd"), catalog.find("uniform-noise")]
    reports = [report("ssd-kd"), report("ssd-kd", verdict="fails"), report("ssd-kd")]
    ours, control = render_index(entries, reports).splitlines()[-2:]
    assert ours.startswith("| [SSD-KD](ssd-kd.md) | ")
    assert ours.endswith("| CVPR 2024 | 2 holds, 1 fails |")
    assert control.endswith("| a control | none |")
