"""The README's table of methods is generated, and it is the newest."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bequest import catalog
from bequest.claims.results import ClaimVerdict, Report, write_results
from bequest.errors import InputError
from bequest.report.markdown import table as markdown_table
from bequest.report.readme_table import BEGIN, END, figures, insert, main, table

ROOT = Path(__file__).parents[2]
CLAIM = ClaimVerdict(
    id="c", sentence="One beats two.", better="one", than="two", metric="accuracy", by=0.0,
    verdict="undecided", difference=-0.26, interval=(-2.0, 1.5), pairs=5,
)  # fmt: skip
REPORT = Report(
    study="ssd-kd", size="default", seeds=5, created="2025-01-31", environment={}, code="0",
    arms={}, claims=[CLAIM, dataclasses.replace(CLAIM, sentence="Or not.", verdict="fails")],
)  # fmt: skip


def test_the_readme_holds_the_newest_table() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert insert(readme, ROOT / "results") == readme, "the table is old: make readme"


def test_claims_stand_in_rows_of_their_method(tmp_path: Path) -> None:
    write_results(REPORT, tmp_path)
    lines = table(tmp_path).splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("| [SSD-KD]"))
    assert lines[at] == (
        "| [SSD-KD](src/bequest/methods/data_free/ssd_kd.py) "
        "| [CVPR 2024](https://arxiv.org/abs/2406.07876) "
        "| One beats two. | default | **undecided** | -0.3 [-2.0, +1.5] | 5 |"
    )
    assert lines[at + 1] == "|  |  | Or not. | default | **fails** | -0.3 [-2.0, +1.5] | 5 |"
    unmeasured = [line for line in lines if "not measured yet" in line]
    built_in = [e for e in catalog.methods().values() if e.method.startswith("bequest.")]
    assert len(unmeasured) == len(built_in) - 1


def test_sources_that_the_table_links_to_are_there() -> None:
    for entry in catalog.methods().values():
        if entry.method.startswith("bequest."):
            module = entry.method.split(":")[0].replace(".", "/")
            assert (ROOT / "src" / f"{module}.py").exists(), entry.id


def test_figures_without_an_interval_or_a_pair() -> None:
    assert figures(dataclasses.replace(CLAIM, interval=None)) == "-0.3"
    missing = dataclasses.replace(CLAIM, interval=None, difference=None)
    assert figures(missing) == "no pair of runs ended"


def test_the_table_goes_between_the_marks_and_nowhere_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n", encoding="utf-8")
    main([str(readme), str(tmp_path / "results")])
    text = readme.read_text(encoding="utf-8")
    assert text == f"before\n\n{BEGIN}\n{table(tmp_path / 'results')}{END}\n\nafter\n"
    main([str(readme), str(tmp_path / "results")])
    assert readme.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("text", ["", BEGIN, END + BEGIN, BEGIN + END + END, BEGIN + BEGIN + END])
def test_marks_that_are_wrong_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs the marks"):
        insert(text, tmp_path)


def test_results_that_fit_no_method_are_refused(tmp_path: Path) -> None:
    write_results(dataclasses.replace(REPORT, study="nothing"), tmp_path)
    with pytest.raises(InputError, match=r"results of \['nothing'\]"):
        table(tmp_path)
    (tmp_path / "nothing-default.json").write_text(json.dumps({"rows": []}))
    with pytest.raises(InputError, match="holds no results"):
        table(tmp_path)


def test_bars_and_line_breaks_do_not_break_a_row() -> None:
    assert markdown_table(["a"], [["x|y\nz"]]) == "| a |\n| --- |\n| x\\|y z |\n"


def test_making_the_table_imports_no_torch() -> None:
    code = (
        "import sys; from bequest.report.readme_table import table; table('results'); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
