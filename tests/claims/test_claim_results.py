"""Results as files, the exit status, and the hash of the code behind them."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bequest.claims import exit_status, read_results, results_path, to_json, write_results
from bequest.claims.code_hash import code_hash
from bequest.claims.files import write_atomically
from bequest.claims.results import metric_names
from bequest.errors import InputError
from support.reports import example_report


def test_round_trip(tmp_path: Path) -> None:
    report = example_report()
    path = write_results(report, tmp_path / "new")
    assert (
        path == results_path(tmp_path / "new", "fake", "smoke") == tmp_path / "new/fake-smoke.json"
    )
    assert read_results(path) == report


def test_what_is_not_finite_becomes_null() -> None:
    report = example_report()
    broken = replace(report.claims[0], difference=math.nan, interval=(-math.inf, 1.0))
    content = json.loads(
        to_json(replace(report, claims=[broken])), parse_constant=lambda name: pytest.fail(name)
    )
    assert content["claims"][0]["difference"] is None
    assert content["claims"][0]["interval"] == [None, 1.0]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"arms": {}}', '{"arms": {}, "claims": []}'])
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fake-smoke.json"
    path.write_text(text)
    with pytest.raises(InputError, match="run the claim again"):
        read_results(path)
    with pytest.raises(InputError, match="run the claim again"):
        read_results(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ([], 0),
        (["holds", "holds"], 0),
        (["holds", "undecided"], 2),
        (["undecided", "fails"], 1),
    ],
)
def test_exit_status(verdicts: list, status: int) -> None:
    report = example_report()
    claims = [replace(report.claims[0], verdict=verdict) for verdict in verdicts]
    assert exit_status(replace(report, claims=claims)) == status


def test_metric_names() -> None:
    report = example_report()
    other = replace(report.claims[0], metric="forgetting")
    assert metric_names(replace(report, claims=[*report.claims, other])) == [
        "accuracy",
        "forgetting",
    ]
    assert metric_names(replace(report, claims=[])) == ["accuracy"]


def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


MODULE = '"""Text."""\nLIMIT = 3\n\n\ndef double(x):\n    """Twice."""\n    return 2 * x\n'


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('"""Text."""\n', '"""Another."""\n# and a comment\n', True),
        ('    """Twice."""\n', "", True),
        ("2 * x", "(2\n            * x)", True),
        ("2 * x", "3 * x", False),
        ("LIMIT = 3", "LIMIT = 4", False),
    ],
)
def test_code_hash_of_a_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, same: bool
) -> None:
    package = tmp_path / "hashed_plugin"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "method.py").write_text(MODULE)
    (package / "part.py").write_text("PART = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hashed_plugin", raising=False)
    before = code_hash(["hashed_plugin.method"])
    (package / "method.py").write_text(MODULE.replace(old, new))
    assert (code_hash(["hashed_plugin.method"]) == before) is same
    (package / "method.py").write_text(MODULE)
    assert code_hash(["hashed_plugin.method"]) == before
    (package / "part.py").write_text("PART = 2\n")
    assert code_hash(["hashed_plugin.method"]) != before


def test_code_hash_counts_the_family_and_what_is_below() -> None:
    family = code_hash(["bequest.studies.data_free.ssd_kd", "bequest.methods.data_free.fast"])
    assert family == code_hash(
        ["bequest.methods.data_free.ssd_kd", "bequest.studies.data_free.fast"]
    )
    assert family != code_hash(["bequest.methods.data_free.fast"])
    assert family != code_hash([])
