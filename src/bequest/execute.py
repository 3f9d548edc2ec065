"""Runs one arm of a study in a folder of its own: what `bequest run`, `resume` and claims call."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from bequest import catalog
from bequest.methods.base import change, configure
from bequest.run import Result, Run


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that decides the outcome of one run of a study; stored as `config.yaml`.

    Attributes:
        method: Catalogue id, which is also the study's.
        arm: Name of an arm; None for the first.
        size: Size of the study.
        fields: Changes to the arm's hyper-parameters, by name.
        seed: Decides every random draw.
        device: `auto`, `cpu`, `cuda`, ...
        precision: `auto`, `fp32` or `bf16`.
        threads: Of this process; 0 leaves PyTorch's choice.
    """

    method: str
    arm: str | None = None
    size: str = "default"
    fields: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0


def execute(
    job: Job,
    folder: Path | None = None,
    *,
    resume: bool = False,
    progress: bool = False,
    trackers: tuple[str, ...] = (),
    checkpoint_seconds: float = 60.0,
) -> Result:
    """Runs the job and writes `result.json` beside everything that the run writes.

    Raises:
        InputError: For anything that cannot work, before any work starts.
    """
    study = catalog.find(job.method).load_study()
    arm, method = study.arm(job.arm, job.size)
    if job.fields:
        method = change(method, **job.fields)
    if job.threads:
        torch.set_num_threads(job.threads)
    config = {"command": "run", **asdict(job), "arm": arm, "resolved": asdict(method)}
    with Run(
        folder,
        seed=job.seed,
        device=job.device,
        precision=job.precision,
        budget=study.budget(job.size),
        trackers=trackers,
        checkpoint_seconds=checkpoint_seconds,
        progress=progress,
        config=config,
        resume=resume,
    ) as run:
        result = study.execute(method, job.size, run)
        if run.is_main:
            write_result(result)
    return result


def write_result(result: Result) -> None:
    """Figures, seconds and FLOPs of a run as `result.json` in its folder, atomically."""
    if result.folder is None:
        return
    names = ("metrics", "seconds", "cpu_seconds", "flops", "peak_memory_bytes")
    text = json.dumps({name: getattr(result, name) for name in names}, indent=2)
    temporary = result.folder / ".result.json"
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, result.folder / "result.json")


def job_of(config: Mapping[str, Any]) -> Job:
    """The job that a `config.yaml` of `bequest run` describes."""
    return configure(Job, {key: value for key, value in config.items() if key in _JOB_FIELDS})


_JOB_FIELDS = frozenset(Job.__dataclass_fields__)
