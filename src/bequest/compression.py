"""The second job: a trained network in, a smaller one out, healed without its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bequest import catalog
from bequest.data import ImageData
from bequest.distillation import as_method
from bequest.errors import InputError
from bequest.execute import write_result
from bequest.nn.inspection import check_network
from bequest.nn.narrow import RECORD, read_record, write_record
from bequest.nn.normalize import Normalized
from bequest.run import Budget, Result, Run

FAMILY = "compression"


def compress(
    network: nn.Module,
    *,
    image_size: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    num_classes: int | None = None,
    backbone: str = "",
    method: Any = "dfbf",
    architecture: str | None = None,
    real_images: Tensor | None = None,
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
    """Prunes the backbone of `network` and heals it, by default without any data.

    Args:
        network: Trained; takes images that are normalised with `mean` and `std`. Left as it is.
        image_size: `(channels, height, width)`.
        mean: With which it was trained, one value a channel or one for all; 0 for none.
        std: See `mean`; 1 for none.
        num_classes: Of a classifier; None for any other network.
        backbone: Name of the module that is pruned; "" is the whole network.
        method: A catalogue id, a method's class, or an instance with your own hyper-parameters.
        architecture: What `bequest.load` takes to build the unpruned network, for the record with
            which the pruned one is loaded; None: only the program knows it.
        real_images: uint8 `(count, channels, height, width)`, to heal on with `images="real"`.
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
        The pruned network in eval mode, with the head of the given one, and the run's result.

    Raises:
        InputError: Before any work, when network, sizes or method do not fit.

    Example:
        >>> compress(  # doctest: +SKIP
        ...     detector, image_size=(3, 64, 64), mean=[0.5], std=[0.25], backbone="backbone"
        ... )
    """
    instance = as_method(method)
    if type(instance) not in {e.load_method() for e in _methods()}:
        known = ", ".join(entry.id for entry in _methods())
        raise InputError(f"{type(instance).__name__} does not compress networks; choose {known}.")
    if num_classes is not None:
        check_network(network, image_size=image_size, num_classes=num_classes, name="network")
    if evaluate is not None and (evaluate.image_size, evaluate.num_classes) != (
        tuple(image_size),
        num_classes,
    ):
        raise InputError(
            f"the data to evaluate on has images {evaluate.image_size} and "
            f"{evaluate.num_classes} classes, not {tuple(image_size)} and {num_classes}."
        )
    given = {"image_size": tuple(image_size), "backbone": backbone, "real_images": real_images}
    instance.check(Normalized(network, mean, std), **given)
    with Run(
        folder,
        seed=seed,
        device=device,
        precision=precision,
        budget=budget,
        trackers=trackers,
        checkpoint_seconds=checkpoint_seconds,
        progress=progress,
        config={
            "command": "compress",
            "seed": seed,
            "resolved": asdict(instance),
            **(config or {}),
        },
        resume=resume,
    ) as run:
        monitor = None
        if evaluate is not None:
            from bequest.studies.classification import top1_monitor

            monitor = top1_monitor(evaluate, run, name="score")
        result = instance.fit(
            Normalized(network, mean, std),
            num_classes=num_classes,
            run=run,
            monitor=monitor,
            **given,
        )
        result.model = result.model.unwrapped.eval()
        run.save_model(result.model)
        if run.is_main and run.folder is not None:
            if architecture is not None:
                path = run.folder / RECORD
                write_record(
                    path,
                    read_record(path)["layers"],
                    network=architecture,
                    num_classes=num_classes,
                    image_size=list(image_size),
                )
            write_result(result)
    return result.model, result


def _methods() -> list[catalog.Entry]:
    return [entry for entry in catalog.methods().values() if entry.family == FAMILY]
