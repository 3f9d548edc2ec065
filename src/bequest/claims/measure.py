"""Claims, measured: every arm that they need, over seeds, at the same budget.

The arms of a study start from the same teacher and the same initial student for a seed, so that
they differ in nothing but what the claim is about.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bequest import catalog
from bequest.claims.figures import arm_figures, environment_of, judge, metric_of
from bequest.claims.plan import (
    Arm,
    Settings,
    chosen_claims,
    find_arm,
    settings_of,
    task_of,
    worker_count,
)
from bequest.claims.progress import RunsShown
from bequest.claims.results import Report, write_results
from bequest.claims.runs import Outcome, Task, read_record, run_here, run_task
from bequest.claims.workers import run_parallel
from bequest.errors import InputError, StoppedError
from bequest.studies.base import Study


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
    study.arm(None, size)  # refuses an unknown size before anything else
    chosen = chosen_claims(study, claims, size)
    settings = settings_of(seeds, size, threads, device, precision)
    needed = {name for claim in chosen for name in (claim.better, claim.than)}
    names = dict.fromkeys([*study.arms(size), *sorted(needed)])
    arms = [find_arm(study, name, size) for name in names if name in needed]
    metrics = {arm.name: metric_of(arm.name, chosen) for arm in arms}
    report = _measure(study, arms, settings, workers=workers, progress=progress, metrics=metrics)
    report = replace(report, claims=[judge(claim, report.arms) for claim in chosen])
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
    settings = settings_of(seeds, size, threads, device, precision)
    study.arm(None, size)
    names = list(dict.fromkeys(study.arms(size) if arms is None else arms))
    if not names:
        raise InputError("arms is empty; name one or more, or None for all.")
    chosen = [find_arm(study, name, size) for name in names]
    metric = metric or (study.claims[0].metric if study.claims else None)
    metrics = {arm.name: metric for arm in chosen}
    return _measure(study, chosen, settings, workers=workers, progress=progress, metrics=metrics)


def _measure(
    study: Study,
    arms: Sequence[Arm],
    settings: Settings,
    *,
    workers: int,
    progress: bool,
    metrics: Mapping[str, str | None],
) -> Report:
    if workers < 0:
        raise InputError(f"workers is {workers}; it must be 0 (as many as cores) or more.")
    seeds = range(settings.seeds)
    tasks = {(arm.name, seed): task_of(arm, seed, settings) for arm in arms for seed in seeds}
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
            text = _line(outcome, set(metrics.values()))
            shown.ended(" = ".join(names[task.hash]), text, failed=bool(outcome.error))

        kept = {hash: read_record(task) for hash, task in unique.items()}
        outcomes |= {h: Outcome(record=r, cached=True) for h, r in kept.items() if r is not None}
        shown.kept(len(outcomes))
        todo = [task for hash, task in unique.items() if hash not in outcomes]
        try:
            processes = worker_count(workers, len(todo), settings)
            if processes == 1:
                run_here(todo, ended=ended)
            else:
                run_parallel(
                    todo, workers=processes, threads=settings.threads, work=run_task, ended=ended
                )
        except (KeyboardInterrupt, StoppedError) as error:
            raise StoppedError(
                f"Stopped: {len(outcomes)} of {len(unique)} runs are done and kept. The same "
                "command goes on from there."
            ) from error

    figures = {
        arm.name: arm_figures(
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
        environment=environment_of([o.record for o in outcomes.values() if o.record is not None]),
        code="+".join(codes),
        arms=figures,
        cached=sum(outcome.cached for outcome in outcomes.values()),
        runs=len(unique),
    )


def _line(outcome: Outcome, metrics: Collection[str | None]) -> str:
    """How a run ended, in a few words."""
    record = outcome.record
    if record is None:
        return outcome.error
    figures = [f"{n} {value:.4g}" for n, value in record["metrics"].items() if n in metrics]
    return ", ".join([*figures, f"{sum(record['seconds'].values()):.0f} s"])
