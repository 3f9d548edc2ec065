"""The report of a run: complete, self-contained, escaped, and there whatever the folder holds."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
import yaml

from bequest.errors import InputError
from bequest.report import write_report
from bequest.report.run_folder import read_run
from support.html_check import Page, checked
from support.reports import write_run


def page(folder: Path) -> Page:
    path = write_report(folder)
    assert path == folder / "report.html"
    return checked(path.read_text(encoding="utf-8"))


def test_a_finished_run(tmp_path: Path) -> None:
    read = page(write_run(tmp_path / "run"))
    for text in (
        "SSD-KD",
        "✓ finished",
        "80.25",
        "96.5",
        "Hyper-parameters (2)",
        "bequest run ssd-kd --arm ssd-kd --size smoke --seed 3",
        "torch",
        "2.13.0",
    ):
        assert text in read.text
    assert "not come to its end" not in read.text
    # Totals leave evaluation out: 30 + 10 s, 34.5 CPU s, 4 TFLOP.
    for total in ("40.0 s", "34.5 s", "4 TFLOP"):
        assert total in read.text


def test_curves_pictures_and_histograms(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    read = page(folder)
    labels = [values["aria-label"] or "" for values in read.all("figure") if "role" in values]
    # accuracy with agreement, entropy with confidence, effective size, two terms, a histogram
    assert len(labels) == len(read.all("svg")) == 6
    assert "accuracy goes from 48 to 80%, lowest 48, highest 80" in labels[0]
    assert "agreement goes from 58 to 90%" in labels[0]
    assert "Histogram of confidence: 26 in all, most of them, 20, from 0.75." in labels[-1]
    address = read.all("img")[0]["src"] or ""
    picture = (folder / "pictures" / "synthetic.png").read_bytes()
    assert base64.b64decode(address.removeprefix("data:image/png;base64,")) == picture


def test_charts_follow_the_page_and_share_no_names(tmp_path: Path) -> None:
    text = write_report(write_run(tmp_path / "run")).read_text(encoding="utf-8")
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert "var(--series-1)" in drawings
    # Only black and transparent are left of matplotlib's own colours, if any.
    assert not re.findall(r"#0000[abc]\d", drawings)
    assert "font-family" not in drawings
    used = set(re.findall(r"url\(#([^)]*)\)", drawings))
    assert used <= set(re.findall(r'id="([^"]*)"', drawings))


def test_values_are_escaped(tmp_path: Path) -> None:
    nasty = "<script>alert('&')</script>"
    folder = write_run(tmp_path / "run", arm=nasty, fields={"a": nasty}, resolved={nasty: nasty})
    (folder / "tables" / "<b>.json").write_text('{"<i>": [1.0]}')
    rows = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(
        rows + json.dumps({"phase": "record", "step": 40, nasty: 1.0}) + "\n"
    )
    assert nasty in page(folder).text


def test_a_run_that_has_not_ended(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "result.json").unlink()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "distillation", "st')
    read = page(folder)
    assert "… not finished" in read.text
    assert "the last figures are from step 40" in read.text
    assert f"bequest resume {folder}" in read.text
    assert "1 line of metrics.jsonl cannot be read" in read.text
    assert "80" in read.text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.yaml", None, "config.yaml is missing"),
        ("config.yaml", "a: [", "config.yaml cannot be read"),
        ("config.yaml", "- 1", "config.yaml does not hold what it should"),
        ("result.json", '{"metr', "result.json cannot be read"),
        ("environment.json", "", "environment.json cannot be read"),
        ("metrics.jsonl", None, "metrics.jsonl is missing"),
        ("metrics.jsonl", '{"step": 1}\nnull\n[1]\n', "3 lines of metrics.jsonl"),
        ("pictures/synthetic.png", "text", "synthetic.png cannot be read"),
        ("tables/confidence.json", "[1]", "confidence.json cannot be read"),
        ("tables/confidence.json", '{"a": [1], "b": []}', "columns of different lengths"),
    ],
)
def test_a_broken_file_costs_only_itself(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    folder = write_run(tmp_path / "run")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    read = page(folder)
    assert said in read.text
    if name != "result.json":
        assert "80.25" in read.text


def test_what_was_logged_as_not_a_number_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "distillation", "step": 41, "bn": NaN, "note": "text", "ok": true}\n')
    run = read_run(folder)
    assert set(run.terms) == {"bn", "distill"}
    assert run.terms["bn"][-1] == (40.0, 9 / 40)
    page(folder)


def test_phases_follow_each_other(tmp_path: Path) -> None:
    rows = [
        {"phase": "record", "step": 0, "accuracy": 10.0},
        {"phase": "warm-up", "step": 1, "bn": 3.0},
        {"phase": "warm-up", "step": 2, "bn": 2.0},
        {"phase": "record", "step": 2, "accuracy": 20.0},
        {"phase": "record", "step": 0, "accuracy": 20.5},
        {"phase": "distillation", "step": 5, "bn": 1.0},
        {"phase": "record", "step": 6, "accuracy": 30.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = read_run(tmp_path)
    assert run.terms["bn"] == [(1, 3.0), (2, 2.0), (7, 1.0)]
    assert run.records["accuracy"] == [(0, 10.0), (2, 20.0), (2, 20.5), (8, 30.0)]


def test_an_almost_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"command": "run", "method": "x"}))
    read = page(tmp_path)
    assert "No figures have been recorded." in read.text


def test_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(InputError, match="is no folder of a run"):
        write_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.json"]


def test_peak_memory_where_it_is_recorded(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, "peak_memory_bytes": 1.25e9}))
    assert "1.25 GB" in page(folder).text
    assert "peak memory" in page(folder).text
