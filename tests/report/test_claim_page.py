"""The page of claims: verdicts, intervals, arms, and what is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from bequest.claims import write_results
from bequest.report import write_claim_report, write_report
from support.html_check import checked
from support.reports import example_report


def test_verdicts_and_arms(tmp_path: Path) -> None:
    path = write_claim_report(example_report(), tmp_path)
    assert path == tmp_path / "fake-smoke.html"
    page = checked(path.read_text(encoding="utf-8"))
    for text in (
        "✓ 1 holds",
        "✗ 1 fails",
        "? 2 undecided",
        "+1.70 +0.70 to +2.70 above 0 5",
        "−1.70 −2.70 to −0.70",
        "above 2",
        "CVPR 2024, Table 4",
        "4 of 5",
        "2 TFLOP",
        "bequest claim fake --size smoke --seeds 5",
        "15 different runs, 3 of them kept from before",
        "broken, seed 1: NotFiniteError: <'loss'> is nan",
    ):
        assert text in page.text
    # Named once, though two claims and the arm tell of it.
    assert page.text.count("NotFiniteError") == 1


def test_plots_say_what_they_show(tmp_path: Path) -> None:
    text = write_claim_report(example_report(), tmp_path).read_text(encoding="utf-8")
    labels = [v["aria-label"] or "" for v in checked(text).all("figure") if "role" in v]
    assert "1, holds, +1.70; 2, fails, −1.70; 3, undecided, +1.70; 4, undecided, –" in labels[0]
    assert "broken 85, –, 84, 86, 85.5" in labels[1]
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert {"--holds", "--fails", "--undecided"} <= set(re.findall(r"--[a-z]+", drawings[0]))


def test_a_plot_for_each_metric(tmp_path: Path) -> None:
    report = example_report()
    other = replace(report.claims[0], id="other", metric="forgetting", by=-1.0)
    report = replace(report, claims=[*report.claims, other])
    page = checked(write_claim_report(report, tmp_path).read_text(encoding="utf-8"))
    assert len(page.all("svg")) == 4
    assert "Difference in forgetting" in page.text


def test_arms_without_claims(tmp_path: Path) -> None:
    report = replace(example_report(), claims=[])
    page = checked(write_claim_report(report, tmp_path).read_text(encoding="utf-8"))
    assert "fake: arms compared" in page.text
    assert "bequest claim fake --size smoke --seeds 5 --arms ours theirs broken" in page.text
    assert "seed 1: NotFiniteError" in page.text


def test_when_nothing_ended(tmp_path: Path) -> None:
    report = example_report()
    arms = {
        name: replace(
            arm,
            mean=None,
            sd=None,
            values=[None],
            metrics={},
            sections={},
            flops=None,
            cpu_seconds=None,
            seconds=None,
            config={},
        )
        for name, arm in report.arms.items()
    }
    checked(
        write_claim_report(replace(report, arms=arms, environment={}), tmp_path).read_text("utf-8")
    )


def test_hyper_parameters_that_differ_are_marked(tmp_path: Path) -> None:
    report = example_report()
    config = {"class": "fake:Fake", "fields": {"level": 80.0}}
    arms = {**report.arms, "theirs": replace(report.arms["theirs"], config=config)}
    page = checked(write_claim_report(replace(report, arms=arms), tmp_path).read_text("utf-8"))
    assert page.text.count("◆") == 1
    assert "level 80.0 ◆" in page.text


def test_a_folder_of_results_gets_its_pages(tmp_path: Path) -> None:
    write_results(example_report(), tmp_path)
    assert write_report(tmp_path) == tmp_path / "fake-smoke.html"
    write_results(replace(example_report(), size="default"), tmp_path)
    (tmp_path / "torn.json").write_text("{")
    assert write_report(tmp_path) == tmp_path
    assert {path.name for path in tmp_path.glob("*.html")} == {
        "fake-smoke.html",
        "fake-default.html",
    }
