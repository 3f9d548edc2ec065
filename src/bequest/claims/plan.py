"""What is to be run for a claim: its arms, what all runs share, and the key of each run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

import bequest
from bequest import catalog
from bequest.claims.code_hash import code_hash
from bequest.claims.runs import Task
from bequest.data import cache_folder
from bequest.errors import InputError, unknown
from bequest.run.environment import resolve_precision
from bequest.studies.base import Claim, Study


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An arm by its name in the report, and where it comes from."""

    name: str
    study: Study
    job_arm: str
    method: Any


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all runs share."""

    seeds: int
    size: str
    threads: int
    device: str
    precision: str


def chosen_claims(study: Study, ids: Sequence[str] | None, size: str) -> list[Claim]:
    """The study's claims of these ids, in the study's order; for None all that are about `size`.

    Raises:
        InputError: For an unknown id, one that is about other sizes, or when there is no claim.
    """
    known = {claim.id: claim for claim in study.claims}
    if not known:
        raise InputError(f"the study {study.id} makes no claims; `run_arms` compares its arms.")
    for id in known if ids is None else ids:
        if id not in known:
            raise unknown(f"claim of study {study.id}", id, known)
        if ids is not None and not known[id].is_about(size):
            sizes = ", ".join(known[id].sizes)
            raise InputError(f"the claim {id} is about the size {sizes}, not {size}.")
    chosen = [c for c in study.claims if c.is_about(size) and (ids is None or c.id in ids)]
    if not chosen:
        raise InputError(f"no claim of the study {study.id} is about the size {size}.")
    return chosen


def settings_of(seeds: int, size: str, threads: int, device: str, precision: str) -> Settings:
    """What all runs share, with `auto` resolved to what this machine has.

    Raises:
        InputError: For a number below 1 or an unknown precision.
    """
    for name, value in (("seeds", seeds), ("threads", threads)):
        if value < 1:
            raise InputError(f"{name} is {value}; it must be 1 or more.")
    if device == "auto":
        forced = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
        found = None if forced else torch.accelerator.current_accelerator()
        device = found.type if found is not None and torch.accelerator.is_available() else "cpu"
    resolved = resolve_precision(precision, torch.device(device))
    return Settings(seeds=seeds, size=size, threads=threads, device=device, precision=resolved)


def find_arm(study: Study, name: str, size: str) -> Arm:
    """An arm of the study, or of another one that shares its data, networks and budget."""
    if name in study.arms(size):
        return Arm(name=name, study=study, job_arm=name, method=study.arms(size)[name])
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
    return Arm(name=name, study=other, job_arm=job_arm, method=method)


def task_of(arm: Arm, seed: int, settings: Settings) -> Task:
    """The run of an arm with a seed, and everything that decides its outcome."""
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


def worker_count(asked: int, tasks: int, settings: Settings) -> int:
    """How many processes to use: never more than there are tasks.

    Args:
        asked: 0 stands for as many as there are cores, or one on a GPU.
        tasks: Number of runs to do.
        settings: What all runs share.
    """
    if asked == 0:
        can_say = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if can_say else os.cpu_count() or 1
        asked = cores // settings.threads if settings.device == "cpu" else 1
    return max(1, min(asked, tasks))
