"""`bequest claim`: tables, JSON and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Shell

pytestmark = pytest.mark.usefixtures("fakes")

_WORDS = ("claim", "fake", "--size", "smoke", "--workers", "1")


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        (("good-beats-bad",), 0),
        (("bad-beats-good",), 1),
        (("close-beats-good",), 2),
        (("good-beats-bad", "close-beats-good"), 2),
        (("close-beats-good", "bad-beats-good"), 1),
    ],
)
def test_the_worst_verdict_is_the_exit_status(
    shell: Shell, claims: tuple[str, ...], status: int
) -> None:
    answer = shell(*_WORDS, "--seeds", "4", "--only", *claims)
    assert answer.status == status, answer.err
    words = ("holds", "fails", "undecided")
    assert words[status] in answer.out
    for claim in claims:
        assert claim in answer.out


def test_json_and_results(shell: Shell, tmp_path: Path) -> None:
    words = ("--seeds", "3", "--only", "good-beats-bad", "--json", "--folder", "results")
    answer = shell(*_WORDS, *words)
    assert answer.status == 0
    report = json.loads(answer.out)
    assert [claim["id"] for claim in report["claims"]] == ["good-beats-bad"]
    assert set(report["arms"]) == {"good", "bad"}
    assert report["seeds"] == 3
    written = tmp_path / "results" / "fake-smoke.json"
    assert json.loads(written.read_text(encoding="utf-8")) == report
    page = written.with_suffix(".html").read_text(encoding="utf-8")
    assert "good beats bad." in page
    assert "Report: " in answer.err


def test_arms_without_claims(shell: Shell) -> None:
    answer = shell(*_WORDS, "--seeds", "2", "--arms", "bad", "good")
    assert answer.status == 0
    lines = [line.split() for line in answer.out.splitlines()]
    # Levels 80 and 90, each with the mean of what seeds 0 and 1 add.
    assert ["bad", "accuracy", "82.95"] in [line[:3] for line in lines]
    assert ["good", "accuracy", "93.00"] in [line[:3] for line in lines]
    assert "verdict" not in answer.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--only", "good-beats-bat"), "Did you mean good-beats-bad"),
        (("--seeds", "0"), "seeds is 0"),
        (("--size", "smok"), "Did you mean smoke"),
    ],
)
def test_errors_are_no_verdicts(shell: Shell, words: tuple[str, ...], message: str) -> None:
    answer = shell(*_WORDS, *words)
    assert answer.status == 64
    assert message in answer.err
