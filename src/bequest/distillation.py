"""The main job: a trained teacher in, with data or without, a smaller student out."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from bequest import catalog
from bequest.data import ImageData
from bequest.data import load as load_data
from bequest.data.pool import Pool, load_pool
from bequest.errors import InputError
from bequest.execute import write_result
from bequest.losses.objectives.catalog import find
from bequest.memory.unlabelled import check_pool
from bequest.methods.base import change, configure
from bequest.nn.inspection import check_network
from bequest.nn.normalize import Normalized
from bequest.run import Budget, Result, Run


def distill(
    teacher: nn.Module | Sequence[nn.Module],
    student: nn.Module,
    *,
    data: ImageData | str | None = None,
    objective: str | None = None,
    image_size: tuple[int, int, int] | None = None,
    num_classes: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    method: Any = None,
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
    """Trains `student` to answer as `teacher` does, with data or without any.

    Images, of the data or made by the method, lie in [0, 1]; both networks see them as
    `(image - mean) / std`, so `mean` and `std` must be those that the teacher was trained with.

    Args:
        teacher: Trained; logits `(batch, num_classes)`. Its weights are left as they are. Several
            may be given for distillation with data.
        student: Untrained or not; trained in place.
        data: Labelled images, or the name of such (see `bequest.data.load`): the student learns
            from their training images. Without it, the method works without data.
        objective: With data: an id of `bequest.losses.objectives.catalog`, such as `dkd`.
        image_size: `(channels, height, width)`; with data that of its images.
        num_classes: Classes of both networks; with data its classes.
        mean: A value a channel; with None, images in [0, 1] enter the networks as they are.
        std: A value a channel, above 0; given with `mean` or not at all.
        method: A catalogue id, a method's class, or an instance with your own hyper-parameters;
            None is `kd` with data and `ssd-kd` without.
        pool: Unlabelled images of any origin, for methods that learn from such, as `kd3` does: a
            folder, a `.tar` archive, the name of a data set (see `bequest.data.pool.load_pool`),
            or uint8 images `(count, channels, height, width)`.
        evaluate: Data whose test images give top-1 for the report; never used for training. None
            takes those of `data`.
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
    data = load_data(data) if isinstance(data, str) else data
    default = "ssd-kd" if data is None and objective is None else "kd"
    instance = with_objective(as_method(default if method is None else method), objective)
    training = _training_data(instance, data)
    image_size, num_classes = sizes(data, image_size, num_classes)
    evaluate = data if evaluate is None else evaluate
    mean, std = _normalization(mean, std, image_size[0])
    teachers = [teacher] if isinstance(teacher, nn.Module) else list(teacher)
    takes_several = "Sequence" in str(inspect.signature(instance.fit).parameters["teacher"])
    if len(teachers) != 1 and not (takes_several and teachers):
        raise InputError(f"{_id_of(instance)} learns from one teacher, not {len(teachers)}.")
    dense = getattr(instance, "dense", False)  # a method for networks that label each pixel
    for name, network in (*(("teacher", one) for one in teachers), ("student", student)):
        check_network(
            network, image_size=image_size, num_classes=num_classes, name=name, dense=dense
        )
    if any(one is student for one in teachers):
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
            from bequest.studies.classification import top1_monitor

            monitor = top1_monitor(evaluate, run)
        normalized = [Normalized(one, mean, std) for one in teachers]
        result = instance.fit(
            normalized if len(normalized) > 1 else normalized[0],
            Normalized(student, mean, std),
            **training,
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


def with_objective(instance: Any, objective: str | None) -> Any:
    """The method with another objective.

    Raises:
        InputError: When it has none.
    """
    if objective is None:
        return instance
    if not hasattr(instance, "objective"):
        raise InputError(
            f"{_id_of(instance)} has no objective to choose: leave the objective out, or take the "
            "method 'kd' and give data."
        )
    find(objective)  # an unknown one gets a suggestion
    return change(instance, objective=objective)


def _training_data(instance: Any, data: ImageData | None) -> dict[str, Any]:
    """What the method's `fit` takes of the data: images, and labels where it wants them."""
    name, parameters = _id_of(instance), inspect.signature(instance.fit).parameters
    if data is None and "images" in parameters:
        raise InputError(
            f"{name} trains on real images: give data (--data DATASET on the command line), or "
            "choose a method that works without."
        )
    if data is not None and "images" not in parameters:
        raise InputError(
            f"{name} works without data: leave the data out, or choose an objective such as dkd, "
            "which learns from it (--method kd)."
        )
    if data is None:
        return {}
    given = {"images": data.train_images, "labels": data.train_labels}
    return {key: value for key, value in given.items() if key in parameters}


def sizes(
    data: ImageData | None, image_size: tuple[int, int, int] | None, num_classes: int | None
) -> tuple[tuple[int, int, int], int]:
    """Image size and classes, those of the data where there is some."""
    if data is None:
        if image_size is None or num_classes is None:
            raise InputError(
                "Without data, image_size and num_classes must be given (--image-size and "
                "--num-classes on the command line)."
            )
        return cast(tuple[int, int, int], tuple(image_size)), num_classes
    for name, given, own in (
        ("image_size", image_size and tuple(image_size), data.image_size),
        ("num_classes", num_classes, data.num_classes),
    ):
        if given not in (None, own):
            raise InputError(f"{name} is {given}, but '{data.name}' has {own}: leave it out.")
    return data.image_size, data.num_classes


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
