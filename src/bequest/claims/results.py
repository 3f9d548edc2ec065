"""What a claim run found: arms with their figures and cost, claims with their verdicts.

Data and files only: importing this imports no torch, so pages and tables are made quickly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bequest.claims.files import write_atomically
from bequest.claims.statistics import Verdict
from bequest.errors import InputError

MARKS: dict[Verdict, str] = {"holds": "✓", "fails": "✗", "undecided": "?"}
"""A sign for each verdict, for tables that cannot show colour."""


@dataclass(frozen=True, kw_only=True)
class ArmFigures:
    """One arm over all seeds.

    Attributes:
        metric: The figure that `mean`, `sd` and `values` are of.
        mean: Over the seeds that ended; None when none did.
        sd: Sample standard deviation (n - 1); None below two values.
        values: One for each seed, in order; None where the run failed.
        metrics: The same for every figure that the runs report, by name.
        flops: Mean floating-point operations of a run, without evaluation.
        cpu_seconds: Mean CPU seconds of a run, without evaluation.
        seconds: Mean wall-clock seconds of a run, without evaluation.
        sections: Means of `flops`, `cpu_seconds` and `seconds` by section, evaluation included.
        config: The method's id, class and hyper-parameters.
        failures: What went wrong, by seed.
    """

    metric: str
    mean: float | None
    sd: float | None
    values: list[float | None]
    metrics: dict[str, list[float | None]] = field(default_factory=dict)
    flops: float | None = None
    cpu_seconds: float | None = None
    seconds: float | None = None
    sections: dict[str, dict[str, float]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict:
    """One claim, judged.

    Attributes:
        id: Name within the study.
        sentence: The claim in words.
        better: Arm that should be ahead.
        than: Arm that it is compared with.
        metric: The figure compared; larger is better.
        by: Smallest difference that counts.
        verdict: `holds`, `fails` or `undecided`.
        difference: Mean of `better - than` over the pairs; None without a pair.
        interval: 95 % interval of the difference; None with too few pairs.
        pairs: Number of seeds for which both arms ended.
        differences: One for each seed, in order; None where a run failed.
        excluded: What is missing and why, a line each.
        source: Where the claim comes from.
    """

    id: str
    sentence: str
    better: str
    than: str
    metric: str
    by: float
    verdict: Verdict
    difference: float | None
    interval: tuple[float, float] | None
    pairs: int
    differences: list[float | None] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome of `run_claims` or `run_arms`.

    Attributes:
        study: The study's id.
        size: Its size.
        seeds: How many seeds each arm was run with: 0 .. seeds - 1.
        created: Date, as `2025-01-31`.
        environment: Versions and hardware that the runs ran on.
        code: Hash of the code that can influence the outcome.
        arms: By name, in the study's order.
        claims: In the study's order; empty for `run_arms`.
        cached: How many of the runs were taken from the cache.
        runs: How many different runs there were.
    """

    study: str
    size: str
    seeds: int
    created: str
    environment: dict[str, Any]
    code: str
    arms: dict[str, ArmFigures]
    claims: list[ClaimVerdict] = field(default_factory=list)
    cached: int = 0
    runs: int = 0


def exit_status(report: Report) -> int:
    """0 when all claims hold (or there is none), 1 when any fails, 2 when some are undecided."""
    verdicts = {claim.verdict for claim in report.claims}
    if "fails" in verdicts:
        return 1
    return 2 if "undecided" in verdicts else 0


def to_json(report: Report) -> str:
    """The report as JSON, as it is committed; what is not finite becomes null."""
    return json.dumps(_finite(asdict(report)), indent=2, ensure_ascii=False) + "\n"


def results_path(folder: Path | str, study: str, size: str) -> Path:
    """Where the results of a study at a size lie: `<folder>/<study>-<size>.json`."""
    return Path(folder) / f"{study}-{size}.json"


def write_results(report: Report, folder: Path | str) -> Path:
    """Writes `<study>-<size>.json` into `folder`, whole or not at all; returns its path."""
    path = results_path(folder, report.study, report.size)
    write_atomically(path, to_json(report))
    return path


def read_results(path: Path | str) -> Report:
    """Reads what `write_results` wrote.

    Raises:
        InputError: For a file that is missing, torn or of another form.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        arms = {name: ArmFigures(**arm) for name, arm in content.pop("arms").items()}
        claims = [
            ClaimVerdict(**{**claim, "interval": claim["interval"] and tuple(claim["interval"])})
            for claim in content.pop("claims")
        ]
        return Report(arms=arms, claims=claims, **content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} holds no results that this version reads ({error}); run the claim again."
        ) from error


def metric_names(report: Report) -> list[str]:
    """The metrics that the claims are about, each once; of the arms when there is no claim."""
    names: Iterable[str] = (claim.metric for claim in report.claims)
    if not report.claims:
        names = (arm.metric for arm in report.arms.values())
    return list(dict.fromkeys(names))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
