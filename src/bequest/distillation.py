"""The main job: a trained teacher and no data in, a smaller student out."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bequest import catalog
from bequest.data import ImageData
from bequest.data.pool import Pool, load_pool
from bequest.errors import InputError
from bequest.execute import write_result
from bequest.memory.unlabelled import check_pool
from bequest.methods.base import configure
from bequest.nn.inspection import check_network
from bequest.nn.normalize import Normalized
from bequest.run import Budget, Result, Run


def distill(
    teacher: nn.Module,
    student: nn.Module,
    *,
    image_size: tuple[int, int, int],
    num_classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    method: Any = "ssd-kd",
    pool: Tensor | Pool | Path | str | None = None,
    evaluate: ImageData | None = None,
    folder: Path | str | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    budget: Budget | None = None,
    trackers: Sequence[str] = (),
    checkpoint_seconds: float = 60.0,
    progress: bool = True,
    resume: bool = False,
    config: dict[str, Any] | None = None,
) -> tuple[nn.Module, Result]:
    """Trains `student` to answer as `teacher` does, without the data that the teacher learnt from.

    Images that the method makes lie in [0, 1]; both networks see them as `(image - mean) / std`,
    so `mean` and `std` must be those that the teacher was trained with.

    Args:
        teacher: Trained; logits `(batch, num_classes)`. Its weights are left as they are.
        student: Untrained or not; trained in place.
        image_size: `(channels, height, width)`.
        num_classes: Classes of both networks.
        mean: A value a channel; with None, images in [0, 1] enter the networks as they are.
        std: A value a channel, above 0; given with `mean` or not at all.
        method: A catalogue id, a method's class, or an instance with your own hyper-parameters.
        pool: Unlabelled images of any origin, for methods that learn from such, as `kd3` does: a
            folder, a `.tar` archive, the name of a data set (see `bequest.data.pool.load_pool`),
            or uint8 images `(count, channels, height, width)`.
        evaluate: Data whose test images give top-1 for the report; never used for training.
        folder: Where the run is written; None writes nothing.
        seed: Decides every random draw.
        device: `auto`, `cpu`, `cuda`, ...
        precision: `auto`, `fp32` or `bf16`.
        budget: Where to stop early.
        trackers: `tensorboard`, `wandb`, `mlflow`, ...
        checkpoint_seconds: Wall-clock seconds between checkpoints.
        progress: Show a progress bar.
        resume: Go on with the run in `folder`.
        config: What else belongs into `config.yaml`.

    Returns:
        The student (the last, in eval mode) and the run's result; `agreement` is how often it
        chooses the teacher's class on held-back images, synthetic or of the pool, in percent. A
        method that puts a part of the teacher behind the student returns the student with it.

    Raises:
        InputError: Before any work, when teacher, student, sizes or method do not fit.
    """
    instance = as_method(method)
    parameters = inspect.signature(instance.fit).parameters
    if "images" in parameters:
        raise InputError(
            f"{type(instance).__name__} trains on real images; `distill` works without data. "
            "Call its `fit` with your images."
        )
    mean, std = _normalization(mean, std, image_size[0])
    dense = getattr(instance, "dense", False)  # a method for networks that label each pixel
    for name, network in (("teacher", teacher), ("student", student)):
        check_network(
            network, image_size=image_size, num_classes=num_classes, name=name, dense=dense
        )
    if teacher is student:
        raise InputError("teacher and student are the same object; give an untrained copy.")
    if evaluate is not None and (evaluate.image_size, evaluate.num_classes) != (
        tuple(image_size),
        num_classes,
    ):
        raise InputError(
            f"the data to evaluate on has images {evaluate.image_size} and "
            f"{evaluate.num_classes} classes, not {tuple(image_size)} and {num_classes}."
        )
    unlabelled = _pool_for(instance, pool, image_size)
    record = {"method": _id_of(instance), "resolved": asdict(instance), **(config or {})}
    with Run(
        folder,
        seed=seed,
        device=device,
        precision=precision,
        budget=budget,
        trackers=trackers,
        checkpoint_seconds=checkpoint_seconds,
        progress=progress,
        config={"command": "distill", "seed": seed, **record},
        resume=resume,
    ) as run:
        monitor = None
        if evaluate is not None:
            from bequest.studies.data_free.setting import test_monitor

            monitor = test_monitor(evaluate, run)
        result = instance.fit(
            Normalized(teacher, mean, std),
            Normalized(student, mean, std),
            **({} if unlabelled is None else {"pool": unlabelled.images}),
            image_size=tuple(image_size),
            num_classes=num_classes,
            run=run,
            monitor=monitor,
        )
        if unlabelled is not None:
            result.metrics["pool_images"] = float(len(unlabelled.images))
            result.metrics["pool_skipped"] = float(len(unlabelled.skipped))
        trained = result.model
        if isinstance(trained, Normalized):
            trained = trained.network
        trained.eval()
        result.model = trained
        run.save_model(trained)
        if run.is_main:
            write_result(result)
    return trained, result


def as_method(method: Any) -> Any:
    """An instance of a method from its id, its class or itself."""
    if isinstance(method, str):
        return configure(catalog.find(method).load_method(), {})
    if isinstance(method, type):
        return configure(method, {})
    if not hasattr(method, "fit"):
        raise InputError(f"{method!r} is no method: an id, a method's class or instance is needed.")
    return method


def _pool_for(
    instance: Any, pool: Tensor | Pool | Path | str | None, image_size: tuple[int, int, int]
) -> Pool | None:
    """The pool that the method needs, read and checked; None for a method that takes none."""
    name = _id_of(instance)
    takes_one = "pool" in inspect.signature(instance.fit).parameters
    if pool is None and takes_one:
        raise InputError(
            f"{name} learns from unlabelled images: give a pool, a folder of pictures or the name "
            "of a data set (--pool FOLDER on the command line)."
        )
    if pool is not None and not takes_one:
        raise InputError(f"{name} takes no pool of images: leave it out, or choose kd3.")
    if pool is None:
        return None
    if isinstance(pool, Tensor):
        pool = Pool(name="given", images=pool)
    elif not isinstance(pool, Pool):
        pool = load_pool(pool, image_size=image_size)
    check_pool(pool.images, image_size=image_size)
    return pool


def _id_of(instance: Any) -> str:
    for entry in catalog.methods().values():
        if entry.method.endswith(f":{type(instance).__name__}"):
            return entry.id
    return type(instance).__name__


def _normalization(
    mean: Sequence[float] | None, std: Sequence[float] | None, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if (mean is None) != (std is None):
        raise InputError("mean and std are given together or not at all.")
    if mean is None or std is None:
        warnings.warn(
            "No mean and std were given: images in [0, 1] enter the teacher as they are. If it "
            "was trained on normalised images, pass its mean and std.",
            stacklevel=3,
        )
        return (0.0,) * channels, (1.0,) * channels
    return tuple(mean), tuple(std)
