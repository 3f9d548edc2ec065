from __future__ import annotations

from pathlib import Path

import pytest

from bequest import catalog
from bequest.claims.results import ArmFigures, Report
from bequest.errors import InputError
from bequest.report.measured import fill, measured
from bequest.report.readme_table import read_folder

ROOT = Path(__file__).parents[2]


def report() -> Report:
    ours = ArmFigures(
        metric="mean_iou",
        mean=54.04,
        sd=1.26,
        values=[54.04],
        metrics={"teacher_mean_iou": [80.0, 82.0, None]},
        cpu_seconds=59.6,
    )
    noise = ArmFigures(metric="mean_iou", mean=7.0, sd=None, values=[7.0])
    failed = ArmFigures(metric="mean_iou", mean=None, sd=None, values=[None])
    return Report(
        study="seg",
        size="default",
        seeds=3,
        created="2025-01-31",
        environment={},
        code="",
        arms={"ours": ours, "noise": noise, "failed": failed},
    )


def test_arms_teacher_and_cost_in_one_phrase() -> None:
    assert measured(report(), ["ours", "noise"]) == (
        "ours 54.0 ± 1.3, noise 7.0; teacher 81.0 (mean iou, 3 seeds, 60 CPU s)"
    )
    assert measured(report(), ["failed"]) == "failed failed (mean iou, 3 seeds)"


def test_a_gap_is_shown_as_one_beside_the_gap_of_the_teacher() -> None:
    fair = report()
    fair.arms["ours"] = ArmFigures(
        metric="negative_parity_gap",
        mean=-3.5,
        sd=1.0,
        values=[-3.5],
        metrics={"teacher_accuracy": [70.0], "teacher_parity_gap": [20.0]},
    )
    assert measured(fair, ["ours"]) == "ours 3.5 ± 1.0; teacher 20.0 (parity gap, 3 seeds)"


def test_marks_become_phrases_and_what_is_missing_is_said() -> None:
    page = "a <!-- measured seg default ours --> b <!-- measured other default x --> <!-- c -->"
    assert fill(page, [report()]) == (
        "a ours 54.0 ± 1.3; teacher 81.0 (mean iou, 3 seeds, 60 CPU s) b not measured yet "
        "<!-- c -->"
    )


def test_an_unknown_arm_is_an_error() -> None:
    with pytest.raises(InputError, match="measured arm"):
        fill("<!-- measured seg default theirs -->", [report()])


def test_the_page_of_choices_names_only_methods_and_arms_that_exist() -> None:
    page = (ROOT / "docs" / "choose.md").read_text(encoding="utf-8")
    filled = fill(page, read_folder(ROOT / "results"))
    assert "<!-- measured" not in filled
    for study, size, arms in [
        (words[2], words[3], words[4:-1])
        for words in (f"<!-- {part.split('-->')[0]}-->".split() for part in page.split("<!-- ")[1:])
    ]:
        known = catalog.find(study).load_study()
        assert size in known.sizes
        assert set(arms) <= set(known.arms(size)), study
