"""A distillation as `config.yaml` keeps it, and how it is carried out: for `distill` and `resume`.

Imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bequest import catalog, data
from bequest.data.catalog import NETWORKS
from bequest.data.pool import Pool, load_pool
from bequest.distillation import distill, sizes
from bequest.errors import InputError
from bequest.methods.base import configure
from bequest.nn.load import load_network
from bequest.nn.normalize import Normalized
from bequest.nn.zoo import ZOO
from bequest.run import Budget, Result


@dataclass(frozen=True, kw_only=True)
class DistillJob:
    """Everything that decides the outcome of `bequest distill`.

    Attributes:
        teacher: What `bequest.nn.load.load_network` takes.
        student: The same.
        image_size: `(channels, height, width)`; None with data, whose it is.
        num_classes: Of both networks; the same.
        data: Name of the labelled data to learn from, or None.
        more_teachers: Further teachers, each `NETWORK` or `NETWORK=WEIGHTS`.
        mean: With which the teacher was trained; None: as its own configuration says.
        std: See `mean`.
        teacher_weights: A file, or None.
        student_weights: A file to begin from, or None.
        pretrained: Whether the teacher comes with its public weights.
        method: Catalogue id.
        fields: Hyper-parameters of the method that differ from its defaults.
        evaluate: Name of the data whose test images give top-1, or None.
        pool: What `bequest.data.pool.load_pool` takes, or None.
        seed: Decides every random draw, and the student's first weights.
        device: `auto`, `cpu`, `cuda`, ...
        precision: `auto`, `fp32` or `bf16`.
        threads: Of this process; 0 leaves PyTorch's choice.
        budget: Where to stop early.
    """

    teacher: str
    student: str
    image_size: tuple[int, int, int] | None
    num_classes: int | None
    data: str | None = None
    more_teachers: tuple[str, ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    teacher_weights: str | None = None
    student_weights: str | None = None
    pretrained: bool = False
    method: str = "ssd-kd"
    fields: Mapping[str, Any] = field(default_factory=dict)
    evaluate: str | None = None
    pool: str | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    budget: Budget = field(default_factory=Budget)


def job_of_config(config: Mapping[str, Any]) -> DistillJob:
    """The job that a `config.yaml` of `bequest distill` describes, with all hyper-parameters.

    Raises:
        InputError: When it was written by `bequest.distill` in Python, which alone knows its
            networks.
    """
    if "teacher" not in config or "student" not in config:
        raise InputError(
            "This run was started from Python with networks that only the program knows: call "
            "bequest.distill(..., folder=FOLDER, resume=True) there."
        )
    known = {key: value for key, value in config.items() if key in _JOB_FIELDS}
    return configure(DistillJob, {**known, "fields": config.get("resolved", {})})


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A job with everything that it names: loaded, and found to fit."""

    job: DistillJob
    teachers: list[nn.Module]
    student: nn.Module
    method: Any
    training: data.ImageData | None
    evaluate: data.ImageData | None
    pool: Pool | None


def prepare(job: DistillJob) -> Prepared:
    """Loads what the job names; its sizes, `mean` and `std` are known then.

    Raises:
        InputError: For anything that cannot be had or does not fit.
    """
    method = configure(catalog.find(job.method).load_method(), job.fields)
    training = data.load(job.data) if job.data else None
    image_size, num_classes = sizes(training, job.image_size, job.num_classes)
    job = replace(job, image_size=image_size, num_classes=num_classes)
    evaluate = data.load(job.evaluate) if job.evaluate else None
    pool = load_pool(job.pool, image_size=image_size) if job.pool else None
    teacher = load_teacher(job)
    further = [load_teacher(other) for other in _more_teachers(job)]
    if job.mean is None or job.std is None:
        mean, std = own_normalization(teacher, job)
        job = replace(job, mean=mean, std=std)
    with torch.random.fork_rng(devices=[]):
        # A teacher draws a different number of initial weights; the student must not notice.
        torch.manual_seed(job.seed)
        student = load_network(
            job.student,
            num_classes=num_classes,
            in_channels=image_size[0],
            image_size=image_size,
            weights=job.student_weights,
        )
    return Prepared(
        job=job,
        teachers=[teacher, *further],
        student=student,
        method=method,
        training=training,
        evaluate=evaluate,
        pool=pool,
    )


def carry_out(
    prepared: Prepared,
    folder: Path,
    *,
    resume: bool = False,
    trackers: tuple[str, ...] = (),
    checkpoint_seconds: float = 60.0,
) -> Result:
    """Distils, or goes on with it; `config.yaml` gets the job."""
    job = prepared.job
    if job.threads:
        torch.set_num_threads(job.threads)
    _, result = distill(
        prepared.teachers,
        prepared.student,
        data=prepared.training,
        image_size=job.image_size,
        num_classes=job.num_classes,
        mean=job.mean,
        std=job.std,
        method=prepared.method,
        evaluate=prepared.evaluate,
        pool=prepared.pool,
        folder=folder,
        seed=job.seed,
        device=job.device,
        precision=job.precision,
        budget=job.budget,
        trackers=trackers,
        checkpoint_seconds=checkpoint_seconds,
        resume=resume,
        config=asdict(job),
    )
    return result


def load_teacher(job: DistillJob) -> nn.Module:
    """The trained teacher, by itself: it takes normalised images.

    Raises:
        InputError: When nothing says where its weights are.
    """
    named = job.teacher in ZOO or job.teacher.startswith(("timm:", "torchvision:"))
    if named and job.teacher_weights is None and not job.pretrained:
        raise InputError(
            f"The teacher '{job.teacher}' would be untrained: give its weights with "
            "--teacher-weights FILE, or --pretrained for public ones."
        )
    image_size, num_classes = sizes(None, job.image_size, job.num_classes)
    with torch.random.fork_rng(devices=[]):
        if job.pretrained and job.teacher in NETWORKS:
            return data.public_network(job.teacher)
        return load_network(
            job.teacher,
            num_classes=num_classes,
            in_channels=image_size[0],
            image_size=image_size,
            weights=job.teacher_weights,
            pretrained=job.pretrained,
        )


def _more_teachers(job: DistillJob) -> list[DistillJob]:
    """A job for each further teacher, which `load_teacher` takes.

    Raises:
        InputError: When one is not `NETWORK` or `NETWORK=WEIGHTS`.
    """
    jobs = []
    for spec in job.more_teachers:
        name, given, weights = spec.partition("=")
        if not name or (given and not weights):
            raise InputError(f"--more-teachers is '{spec}'; it must be NETWORK or NETWORK=WEIGHTS.")
        pretrained = job.pretrained and not weights
        jobs.append(
            replace(job, teacher=name, teacher_weights=weights or None, pretrained=pretrained)
        )
    return jobs


def own_normalization(
    teacher: nn.Module, job: DistillJob
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that a network brings itself, as those of timm do.

    Raises:
        InputError: When it says nothing of the kind.
    """
    if job.pretrained and job.teacher in NETWORKS:
        return data.PUBLIC_NORMALIZATION
    if isinstance(teacher, Normalized):
        return (0.0,), (1.0,)
    stated = getattr(teacher, "pretrained_cfg", None)
    if not isinstance(stated, Mapping) or not stated.get("mean") or not stated.get("std"):
        raise InputError(
            f"The teacher '{job.teacher}' does not say how its images are normalised: look up how "
            "it was trained and give --normalize or --mean and --std."
        )
    return tuple(stated["mean"]), tuple(stated["std"])


_JOB_FIELDS = frozenset(DistillJob.__dataclass_fields__)
