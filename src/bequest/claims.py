"""Claims, measured: arms run over seeds, paired statistics, verdicts.

>>> from bequest.claims import exit_status, run_arms, run_claims, write_results
>>> report = run_claims("ssd-kd", seeds=5)  # doctest: +SKIP
>>> write_results(report, "results")  # doctest: +SKIP
>>> table = run_arms("ssd-kd", ["ssd-kd", "fast", "dafl"], seeds=5)  # doctest: +SKIP

All arms of a study run at the same budget, from the same teacher and initial student for a seed,
so that the arms differ in nothing but what the claim is about. Method against baseline over seeds
as something that software runs goes back to PyKEEN's experiments, DomainBed and rliable; that each
method brings its claims as a part of itself is the point here.

A program that calls these functions with several workers needs the usual
`if __name__ == "__main__":` around its main part, since workers are started afresh.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import bequest
from bequest import catalog
from bequest.claim_progress import RunsShown
from bequest.claim_results import (
    ArmFigures,
    ClaimVerdict,
    Report,
    exit_status,
    read_results,
    results_path,
    to_json,
    write_results,
)
from bequest.claim_runs import Outcome, Record, Task, read_record, run_tasks
from bequest.claim_statistics import (
    MINIMUM_PAIRS,
    difference_interval,
    mean_and_deviation,
    verdict,
)
from bequest.code_hash import code_hash
from bequest.data import cache_folder
from bequest.errors import InputError, StoppedError, unknown
from bequest.run.environment import resolve_precision
from bequest.studies.base import Claim, Study
from dataclasses import dataclass  # noqa  (sorted below)

__all__ = [
    "ArmFigures",
    "ClaimVerdict",
    "Report",
    "exit_status",
    "read_results",
    "results_path",
    "run_arms",
    "run_claims",
    "to_json",
    "write_results",
]


@dataclass(frozen=True, kw_only=True)
class _Arm:
    """An arm by its name in the report, and where it comes from."""

    name: str
    study: Study
    job_arm: str
    method: Any


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What all runs share."""

    seeds: int
    size: str
    threads: int
    device: str
    precision: str


def run_claims(
    study_id: str,
    *,
    claims: Sequence[str] | None = None,
    seeds: int = 5,
    size: str = "default",
    workers: int = 0,
    threads: int = 1,
    device: str = "auto",
    precision: str = "auto",
    folder: Path | str | None = None,
    progress: bool = True,
) -> Report:
    """Runs every arm that the claims need, for seeds 0 .. seeds - 1, and judges the claims.

    What has run before with the same configuration, seed, size, budget, precision, threads, code
    and torch is taken from the cache folder (`claims/`), so that a claim that was broken off goes
    on where it stopped, also inside a run. A run that fails is reported with its error; its seed
    has no pair then, and the failure can only count against the arm that failed (see
    `claim_statistics.verdict`). With fewer than three pairs a claim is undecided.

    Args:
        study_id: A method's catalogue id.
        claims: Ids of the claims to judge; None for all.
        seeds: How many; 5 or more make an interval worth reading.
        size: Of the study.
        workers: Processes at a time; 1 runs everything in this one, 0 takes as many as there are
            cores (one on a GPU, which the runs would only share).
        threads: Of each process.
        device: `auto`, `cpu`, `cuda`, ...
        precision: `auto`, `fp32` or `bf16`.
        folder: Where `<study>-<size>.json` is written at the end; None writes no results.
        progress: Show each run that ends, and a bar.

    Returns:
        Arms with mean, spread and cost; claims with verdict and interval.

    Raises:
        InputError: For an unknown study, claim or size, or a study without claims.
        StoppedError: After Ctrl-C; what was done is kept.
    """
    study = catalog.find(study_id).load_study()
    chosen = _chosen_claims(study, claims)
    settings = _settings(seeds, size, threads, device, precision)
    first, _ = study.arm(None, size)  # refuses an unknown size before anything else
    needed = {name for claim in chosen for name in (claim.better, claim.than)}
    arms = [_arm(study, name, size) for name in _in_order(needed, [first, *study.arms(size)])]
    metrics = {arm.name: _metric_of(arm.name, chosen) for arm in arms}
    report = _measure(study, arms, settings, workers=workers, progress=progress, metrics=metrics)
    report = replace(report, claims=[_judge(claim, report.arms) for claim in chosen])
    if folder is not None:
        write_results(report, folder)
    return report


def run_arms(
    study_id: str,
    arms: Sequence[str] | None = None,
    *,
    metric: str | None = None,
    seeds: int = 5,
    size: str = "default",
    workers: int = 0,
    threads: int = 1,
    device: str = "auto",
    precision: str = "auto",
    progress: bool = True,
) -> Report:
    """Several methods or arms at the same budget, from the same networks, over seeds: one table.

    Args:
        study_id: The study whose data, networks and budget all arms share.
        arms: Names of this study's arms; ids of other methods (their study's first arm); or
            `method/arm` for an arm of another study. None takes all arms of the study.
        metric: The figure of the table; None takes the one that the study's claims are about.
        seeds: See `run_claims`, as for all that follow.
        size: Of the study.
        workers: Processes at a time.
        threads: Of each process.
        device: `auto`, `cpu`, `cuda`, ...
        precision: `auto`, `fp32` or `bf16`.
        progress: Show each run that ends, and a bar.

    Returns:
        The arms with mean, spread and cost, without claims.

    Raises:
        InputError: For an unknown name, or an arm of a study that works on other data or at
            another budget, so that a comparison would mean nothing.
        StoppedError: After Ctrl-C; what was done is kept.
    """
    study = catalog.find(study_id).load_study()
    settings = _settings(seeds, size, threads, device, precision)
    study.arm(None, size)
    names = list(dict.fromkeys(study.arms(size) if arms is None else arms))
    if not names:
        raise InputError("arms is empty; name one or more, or None for all.")
    chosen = [_arm(study, name, size) for name in names]
    metric = metric or (study.claims[0].metric if study.claims else None)
    metrics = {arm.name: metric for arm in chosen}
    return _measure(study, chosen, settings, workers=workers, progress=progress, metrics=metrics)


# -- what is to be run -------------------------------------------------------------------------


def _chosen_claims(study: Study, ids: Sequence[str] | None) -> list[Claim]:
    known = {claim.id: claim for claim in study.claims}
    if not known:
        raise InputError(f"the study {study.id} makes no claims; `run_arms` compares its arms.")
    for id in known if ids is None else ids:
        if id not in known:
            raise unknown(f"claim of study {study.id}", id, known)
    return [claim for claim in study.claims if ids is None or claim.id in ids]


def _settings(seeds: int, size: str, threads: int, device: str, precision: str) -> _Settings:
    for name, value in (("seeds", seeds), ("threads", threads)):
        if value < 1:
            raise InputError(f"{name} is {value}; it must be 1 or more.")
    if device == "auto":
        forced = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
        found = None if forced else torch.accelerator.current_accelerator()
        device = found.type if found is not None and torch.accelerator.is_available() else "cpu"
    resolved = resolve_precision(precision, torch.device(device))
    return _Settings(seeds=seeds, size=size, threads=threads, device=device, precision=resolved)


def _arm(study: Study, name: str, size: str) -> _Arm:
    """An arm of the study, or of another one that shares its data, networks and budget."""
    if name in study.arms(size):
        return _Arm(name=name, study=study, job_arm=name, method=study.arms(size)[name])
    id, _, arm = name.partition("/")
    if id not in catalog.methods():
        raise unknown(f"arm of study {study.id}, nor method,", name, study.arms(size))
    other = catalog.find(id).load_study()
    job_arm, method = other.arm(arm or None, size)
    if other.execute is not study.execute or other.budget(size) != study.budget(size):
        raise InputError(
            f"'{name}' cannot be compared with the arms of {study.id}: its study works on other "
            "data or networks, or at another budget."
        )
    return _Arm(name=name, study=other, job_arm=job_arm, method=method)


def _in_order(names: Iterable[str], order: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys([*order, *names]) if name in set(names)]


def _task(arm: _Arm, seed: int, settings: _Settings) -> Task:
    kind = type(arm.method)
    execute = arm.study.execute
    function = getattr(execute, "__qualname__", "<")
    # Studies of a family share the function that executes them, and so equal arms share a run;
    # a function without a name of its own is known by its study.
    executed = arm.study.id if "<" in function else f"{execute.__module__}:{function}"
    study_module = catalog.find(arm.study.id).study.split(":")[0]
    code = code_hash({study_module, execute.__module__, kind.__module__})
    key = {
        "method": f"{kind.__module__}:{kind.__qualname__}",
        "fields": asdict(arm.method),
        "execute": executed,
        "size": settings.size,
        "seed": seed,
        "budget": asdict(arm.study.budget(settings.size)),
        "device": settings.device,
        "precision": settings.precision,
        "threads": settings.threads,
        "bequest": bequest.__version__,
        "torch": torch.__version__,
        "code": code,
    }
    job = {
        "method": arm.study.id,
        "arm": arm.job_arm,
        "size": settings.size,
        "seed": seed,
        "device": settings.device,
        "precision": settings.precision,
        "threads": settings.threads,
    }
    return Task(job=job, key=key, folder=cache_folder() / "claims")


# -- running -----------------------------------------------------------------------------------


def _measure(
    study: Study,
    arms: Sequence[_Arm],
    settings: _Settings,
    *,
    workers: int,
    progress: bool,
    metrics: dict[str, str | None],
) -> Report:
    if workers < 0:
        raise InputError(f"workers is {workers}; it must be 0 (as many as cores) or more.")
    seeds = range(settings.seeds)
    tasks = {(arm.name, seed): _task(arm, seed, settings) for arm in arms for seed in seeds}
    # Equal configurations share one run. The first arm goes first, through all seeds: what a seed
    # needs beside the arm (its teacher) is made once then, not by two processes at a time.
    first = arms[0].name
    order = sorted(tasks, key=lambda pair: (pair[0] != first, pair[1]))
    names: dict[str, list[str]] = {}
    unique: dict[str, Task] = {}
    for arm_name, seed in order:
        task = tasks[arm_name, seed]
        unique.setdefault(task.hash, task)
        names.setdefault(task.hash, []).append(f"{arm_name}, seed {seed}")
    outcomes: dict[str, Outcome] = {}

    with RunsShown(len(unique), enabled=progress) as shown:

        def ended(task: Task, outcome: Outcome) -> None:
            outcomes[task.hash] = outcome
            shown.ended(" = ".join(names[task.hash]), *_line(outcome), failed=bool(outcome.error))

        for task in unique.values():
            record = read_record(task)
            if record is not None:
                ended(task, Outcome(record=record, cached=True))
        todo = [task for task in unique.values() if task.hash not in outcomes]
        try:
            run_tasks(
                todo,
                workers=_workers(workers, len(todo), settings),
                threads=settings.threads,
                ended=ended,
            )
        except (KeyboardInterrupt, StoppedError) as error:
            raise StoppedError(
                f"Stopped: {len(outcomes)} of {len(unique)} runs are done and kept. The same "
                "command goes on from there."
            ) from error

    figures = {
        arm.name: _figures(
            arm, [outcomes[tasks[arm.name, seed].hash] for seed in seeds], metrics[arm.name]
        )
        for arm in arms
    }
    codes = sorted({str(task.key["code"]) for task in unique.values()})
    return Report(
        study=study.id,
        size=settings.size,
        seeds=settings.seeds,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        environment=_environment([o.record for o in outcomes.values() if o.record is not None]),
        code="+".join(codes),
        arms=figures,
        cached=sum(outcome.cached for outcome in outcomes.values()),
        runs=len(unique),
    )


def _workers(asked: int, tasks: int, settings: _Settings) -> int:
    if asked == 0:
        can_say = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if can_say else os.cpu_count() or 1
        asked = cores // settings.threads if settings.device == "cpu" else 1
    return max(1, min(asked, tasks))


def _line(outcome: Outcome) -> tuple[str]:
    if outcome.record is None:
        return (outcome.error,)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in outcome.record["metrics"].items())
    return (f"{figures}{' (kept from before)' if outcome.cached else ''}",)


# -- figures and verdicts ----------------------------------------------------------------------


def _figures(arm: _Arm, outcomes: Sequence[Outcome], metric: str | None) -> ArmFigures:
    records = [outcome.record for outcome in outcomes]
    ended = [record for record in records if record is not None]
    names = list(dict.fromkeys(name for record in ended for name in record["metrics"]))
    values = {n: [r["metrics"].get(n) if r is not None else None for r in records] for n in names}
    metric = metric or (names[0] if names else "accuracy")
    failures = {str(seed): o.error for seed, o in enumerate(outcomes) if o.record is None}
    for seed, record in enumerate(records):
        if record is not None and metric not in record["metrics"]:
            failures[str(seed)] = f"the result has no '{metric}', only {', '.join(names)}"
    mean, deviation = mean_and_deviation([v for v in values.get(metric, []) if v is not None])
    sections = _sections(ended)
    counted = [figures for name, figures in sections.items() if name != "evaluation"]
    totals = {
        kind: sum(figures[kind] for figures in counted) if ended else None
        for kind in ("flops", "cpu_seconds", "seconds")
    }
    kind = type(arm.method)
    return ArmFigures(
        metric=metric,
        mean=mean,
        sd=deviation,
        values=values.get(metric, [None] * len(records)),
        metrics=values,
        sections=sections,
        config={
            "study": arm.study.id,
            "arm": arm.job_arm,
            "class": f"{kind.__module__}:{kind.__qualname__}",
            "fields": asdict(arm.method),
        },
        failures=failures,
        **totals,
    )


def _sections(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Mean seconds, CPU seconds and FLOPs of a run, by section."""
    kinds = ("seconds", "cpu_seconds", "flops")
    names = dict.fromkeys(name for record in records for kind in kinds for name in record[kind])
    return {
        name: {
            kind: sum(record[kind].get(name, 0.0) for record in records) / len(records)
            for kind in kinds
        }
        for name in names
    }


def _judge(claim: Claim, arms: dict[str, ArmFigures]) -> ClaimVerdict:
    values: dict[str, list[float | None]] = {}
    excluded = []
    for name in dict.fromkeys((claim.better, claim.than)):
        arm = arms[name]
        values[name] = arm.metrics.get(claim.metric, [None] * len(arm.values))
        for seed, value in enumerate(values[name]):
            if value is None:
                reason = arm.failures.get(str(seed), f"the result has no '{claim.metric}'")
                excluded.append(f"{name}, seed {seed}: {reason}")
    differences = [
        None if b is None or t is None else b - t
        for b, t in zip(values[claim.better], values[claim.than])
    ]
    pairs = [difference for difference in differences if difference is not None]
    interval = difference_interval(pairs) if len(pairs) >= MINIMUM_PAIRS else None
    return ClaimVerdict(
        **asdict(claim),
        verdict=verdict(
            interval,
            by=claim.by,
            better_failed=None in values[claim.better],
            than_failed=None in values[claim.than],
        ),
        difference=sum(pairs) / len(pairs) if pairs else None,
        interval=interval,
        pairs=len(pairs),
        differences=differences,
        excluded=excluded,
    )


def _metric_of(arm: str, claims: Sequence[Claim]) -> str:
    return next(claim.metric for claim in claims if arm in (claim.better, claim.than))


def _environment(records: Sequence[Record]) -> dict[str, Any]:
    """That of the first run; `differs` names what other runs had otherwise."""
    if not records:
        return {}
    first = dict(records[0]["environment"])
    others = [record["environment"] for record in records[1:]]
    differs = [name for name in first if any(other.get(name) != first[name] for other in others)]
    return {**first, "differs": differs} if differs else first
