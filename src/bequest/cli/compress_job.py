"""A compression as `config.yaml` keeps it, and how it is carried out: for `compress` and `resume`.

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
from bequest.cli.distill_job import DistillJob, load_teacher, own_normalization
from bequest.compression import compress
from bequest.errors import InputError
from bequest.methods.base import configure
from bequest.nn.zoo import ZOO
from bequest.run import Budget, Result


@dataclass(frozen=True, kw_only=True)
class CompressJob:
    """Everything that decides the outcome of `bequest compress`.

    Attributes:
        student: The network, what `bequest.nn.load.load_network` takes (under the name by which
            `bequest export` looks for it).
        image_size: `(channels, height, width)`.
        num_classes: Of the network.
        mean: With which it was trained; None: as its own configuration says.
        std: See `mean`.
        weights: A file, or None.
        pretrained: Whether it comes with its public weights.
        backbone: Name of the module to prune; "" is the whole network.
        data: Name of the data to heal on, or None.
        fields: Hyper-parameters of the method that differ from its defaults.
        evaluate: Name of the data whose test images give top-1, or None.
        seed: Decides every random draw.
        device: `auto`, `cpu`, `cuda`, ...
        precision: `auto`, `fp32` or `bf16`.
        threads: Of this process; 0 leaves PyTorch's choice.
        budget: Where to stop early.
    """

    student: str
    image_size: tuple[int, int, int]
    num_classes: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    weights: str | None = None
    pretrained: bool = False
    backbone: str = ""
    data: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    evaluate: str | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    budget: Budget = field(default_factory=Budget)


def job_of_config(config: Mapping[str, Any]) -> CompressJob:
    """The job that a `config.yaml` of `bequest compress` describes, with all hyper-parameters.

    Raises:
        InputError: When it was written by `bequest.compress` in Python, which alone knows its
            network.
    """
    if "student" not in config:
        raise InputError(
            "This run was started from Python with a network that only the program knows: call "
            "bequest.compress(..., folder=FOLDER, resume=True) there."
        )
    known = {key: value for key, value in config.items() if key in _JOB_FIELDS}
    return configure(CompressJob, {**known, "fields": config.get("resolved", {})})


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A job with everything that it names, loaded."""

    job: CompressJob
    network: nn.Module
    method: Any
    real_images: torch.Tensor | None
    evaluate: data.ImageData | None


def prepare(job: CompressJob) -> Prepared:
    """Loads what the job names; its `mean` and `std` are known then.

    Raises:
        InputError: For anything that cannot be had or does not fit.
    """
    method = configure(catalog.find("dfbf").load_method(), job.fields)
    named = job.student in ZOO or job.student.startswith(("timm:", "torchvision:"))
    if named and job.weights is None and not job.pretrained:
        raise InputError(
            f"The network '{job.student}' would be untrained: give its weights with --weights "
            "FILE, or --pretrained for public ones."
        )
    real = data.load(job.data).train_images if job.data else None
    evaluate = data.load(job.evaluate) if job.evaluate else None
    as_teacher = DistillJob(
        teacher=job.student,
        student=job.student,
        image_size=job.image_size,
        num_classes=job.num_classes,
        teacher_weights=job.weights,
        pretrained=job.pretrained,
    )
    network = load_teacher(as_teacher)
    if job.mean is None or job.std is None:
        mean, std = own_normalization(network, as_teacher)
        job = replace(job, mean=mean, std=std)
    return Prepared(job=job, network=network, method=method, real_images=real, evaluate=evaluate)


def carry_out(
    prepared: Prepared,
    folder: Path,
    *,
    resume: bool = False,
    trackers: tuple[str, ...] = (),
    checkpoint_seconds: float = 60.0,
) -> Result:
    """Compresses, or goes on with it; `config.yaml` gets the job."""
    job = prepared.job
    if job.threads:
        torch.set_num_threads(job.threads)
    _, result = compress(
        prepared.network,
        image_size=job.image_size,
        num_classes=job.num_classes,
        mean=job.mean or (0.0,),
        std=job.std or (1.0,),
        backbone=job.backbone,
        method=prepared.method,
        architecture=job.student,
        real_images=prepared.real_images,
        evaluate=prepared.evaluate,
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


_JOB_FIELDS = frozenset(CompressJob.__dataclass_fields__)
