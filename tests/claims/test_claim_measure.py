"""Claims run in this process: figures, verdicts, the cache, failures, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bequest.claims import Report, exit_status, run_arms, run_claims
from bequest.errors import InputError, StoppedError
from support.fake_claims import OWN, SHARED


def claim(*ids: str, seeds: int = 5, size: str = "smoke") -> Report:
    return run_claims("fake", claims=ids, seeds=seeds, size=size, workers=1, progress=False)


def journal(cache: Path) -> list[str]:
    path = cache / "journal.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def test_figures_and_verdict(fakes: Path) -> None:
    report = claim("good-beats-bad")
    verdict = report.claims[0]
    bad = [80 + shared + own for shared, own in zip(SHARED, OWN)]
    assert report.arms["bad"].values == pytest.approx(bad)
    assert report.arms["bad"].mean == pytest.approx(sum(bad) / 5)
    assert verdict.differences == pytest.approx([10 - own for own in OWN])
    # Paired: seeds spread the scores by 10 points, and the differences by half a point.
    assert report.arms["good"].sd > 3.5
    assert verdict.interval is not None
    assert verdict.interval[1] - verdict.interval[0] < 0.6
    assert verdict.interval[0] < verdict.difference < verdict.interval[1]
    assert (verdict.verdict, verdict.pairs, verdict.excluded) == ("holds", 5, [])
    assert exit_status(report) == 0


def test_all_verdicts(fakes: Path) -> None:
    report = claim("good-beats-bad", "bad-beats-good", "close-beats-good", "same-is-no-worse")
    verdicts = {c.id: c.verdict for c in report.claims}
    assert verdicts == {
        "good-beats-bad": "holds",
        "bad-beats-good": "fails",
        "close-beats-good": "undecided",
        "same-is-no-worse": "holds",
    }
    assert exit_status(report) == 1
    assert report.claims[-1].interval == (0.0, 0.0)


def test_cost_and_configuration_of_an_arm(fakes: Path) -> None:
    arm = claim("good-beats-bad", seeds=3).arms["good"]
    assert set(arm.sections) == {"training", "evaluation"}
    # Sections are means over seeds; totals leave evaluation out.
    assert arm.seconds == arm.sections["training"]["seconds"] > 0
    assert arm.cpu_seconds == arm.sections["training"]["cpu_seconds"]
    assert arm.flops == 0
    assert arm.config["class"] == "support.fake_claims:Fake"
    assert arm.config["fields"]["level"] == 90.0
    assert set(arm.metrics) == {"accuracy", "counter"}


def test_equal_arms_share_a_run(fakes: Path) -> None:
    report = claim("same-is-no-worse")
    assert len(journal(fakes)) == report.runs == 5
    assert report.arms["same"].values == report.arms["good"].values


def test_what_ran_is_not_run_again(fakes: Path) -> None:
    first = claim("good-beats-bad", seeds=3)
    again = claim("good-beats-bad", seeds=4)
    assert (first.cached, again.cached, again.runs) == (0, 6, 8)
    assert len(journal(fakes)) == 8
    assert again.arms["bad"].values[:3] == first.arms["bad"].values
    assert again.arms["bad"].seconds > 0


def test_a_torn_record_is_run_again(fakes: Path) -> None:
    claim("good-beats-bad", seeds=3)
    records = sorted((fakes / "claims").glob("*.json"))
    records[0].write_text(records[0].read_text()[:40])
    records[1].write_text('{"metrics": {}}')
    report = claim("good-beats-bad", seeds=3)
    assert (report.cached, report.runs, len(journal(fakes))) == (4, 6, 8)
    assert report.claims[0].pairs == 3


def test_another_size_or_code_is_another_run(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = claim("good-beats-bad", seeds=3)
    assert claim("good-beats-bad", seeds=3, size="default").cached == 0
    monkeypatch.setattr("bequest.claims.plan.code_hash", lambda modules: "changed")
    changed = claim("good-beats-bad", seeds=3)
    assert changed.cached == 0
    assert (first.code, changed.code) == (first.code, "changed")
    assert len(first.code) == 32


def test_records_say_what_they_are_of(fakes: Path) -> None:
    claim("good-beats-bad", seeds=3)
    record = json.loads(next((fakes / "claims").glob("*.json")).read_text())
    assert record["key"]["method"] == "support.fake_claims:Fake"
    assert record["key"]["budget"]["steps"] == 3
    assert record["key"]["precision"] in ("fp32", "bf16")
    assert record["environment"]["device"] == "cpu"
    folders = [path for path in (fakes / "claims").iterdir() if path.suffix == ""]
    assert {"metrics.jsonl", "result.json"} <= {p.name for f in folders for p in f.iterdir()}
    assert not list((fakes / "claims").rglob("*.safetensors"))


def test_a_failed_run_is_named_and_never_helps(fakes: Path) -> None:
    report = claim("broken-beats-bad", "bad-beats-broken")
    ahead, behind = report.claims
    assert report.arms["broken"].failures == {"1": "NotFiniteError: 'loss' became nan"}
    assert report.arms["broken"].values[1] is None
    assert ahead.pairs == behind.pairs == 4
    assert ahead.excluded == ["broken, seed 1: NotFiniteError: 'loss' became nan"]
    # -20 points is far above -50, but the arm that should be ahead failed once.
    assert ahead.interval[0] > ahead.by
    assert ahead.verdict == "undecided"
    assert behind.verdict == "holds"
    assert exit_status(report) == 2
    # The failure is not kept as a result; the traceback is.
    assert "NotFiniteError" in next((fakes / "claims").glob("*.error.txt")).read_text()
    assert claim("broken-beats-bad").cached == 9


def test_a_metric_that_is_missing_is_a_failure(fakes: Path) -> None:
    report = claim("silent-beats-bad")
    assert report.arms["silent"].failures == {
        "1": "the result has no 'accuracy', only accuracy, counter, other"
    }
    assert report.claims[0].excluded[0].startswith("silent, seed 1: the result has no 'accuracy'")
    assert report.claims[0].verdict == "undecided"


def test_fewer_than_three_pairs_decide_nothing(fakes: Path) -> None:
    report = claim("good-beats-bad", seeds=2)
    verdict = report.claims[0]
    assert (verdict.verdict, verdict.interval, verdict.pairs) == ("undecided", None, 2)
    assert verdict.difference == pytest.approx(10 - (OWN[0] + OWN[1]) / 2)
    assert exit_status(report) == 2
    assert claim("good-beats-bad", seeds=1).arms["good"].sd is None


def test_interrupted_runs_go_on(fakes: Path) -> None:
    with pytest.raises(StoppedError, match="runs are done and kept"):
        claim("interrupted-beats-bad", seeds=3)
    before = len(journal(fakes))
    report = claim("interrupted-beats-bad", seeds=3)
    # The interrupted run is entered twice, but goes on from its checkpoint.
    assert len(journal(fakes)) == 7
    assert report.cached == before - 1 > 0
    assert report.arms["interrupted"].metrics["counter"] == [3.0, 3.0, 3.0]
    assert report.claims[0].pairs == 3


def test_threads_of_this_process_are_restored(fakes: Path) -> None:
    run_claims(
        "fake",
        claims=["good-beats-bad"],
        seeds=1,
        size="smoke",
        workers=1,
        threads=2,
        progress=False,
    )
    assert torch.get_num_threads() == 1


def test_results_file(fakes: Path, tmp_path: Path) -> None:
    report = run_claims(
        "fake",
        claims=["good-beats-bad"],
        seeds=3,
        size="smoke",
        workers=1,
        folder=tmp_path / "results",
        progress=False,
    )
    content = json.loads((tmp_path / "results" / "fake-smoke.json").read_text())
    assert content["claims"][0]["verdict"] == report.claims[0].verdict
    assert list(content["arms"]) == ["good", "bad"]


def test_arms_of_several_studies_in_one_table(fakes: Path) -> None:
    names = ["fake-sibling", "bad", "fake-sibling/good"]
    report = run_arms("fake", names, seeds=3, size="smoke", workers=1, progress=False)
    assert list(report.arms) == names
    assert report.arms["fake-sibling"].mean == pytest.approx(
        70 + sum(SHARED[:3]) / 3 + sum(OWN[:3]) / 3
    )
    assert report.claims == []
    assert exit_status(report) == 0
    # An equal arm of another study of the family is the same run.
    assert claim("good-beats-bad", seeds=3).cached == 6


def test_all_arms(fakes: Path) -> None:
    report = run_arms("fake-sibling", seeds=1, size="smoke", workers=1, progress=False)
    assert list(report.arms) == ["fake-sibling", "good"]
    assert report.arms["good"].metric == "accuracy"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"study_id": "fakee"}, "Did you mean fake"),
        ({"claims": ["good-beats-bda"]}, "Did you mean good-beats-bad"),
        ({"size": "smok"}, "Did you mean smoke"),
        ({"seeds": 0}, "seeds is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"workers": -1}, "workers is -1"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"study_id": "fake-sibling"}, "makes no claims"),
    ],
)
def test_refused_before_anything_runs(fakes: Path, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_claims(**{"study_id": "fake", "size": "smoke", "progress": False, **arguments})
    assert journal(fakes) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["goood"], "Did you mean good"),
        (["fake-stranger"], "cannot be compared"),
        ([], "arms is empty"),
    ],
)
def test_arms_refused(fakes: Path, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_arms("fake", names, size="smoke", workers=1, progress=False)
