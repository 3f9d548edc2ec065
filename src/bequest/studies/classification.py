"""What studies of image classifiers share: the teacher, the initial student, the score."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bequest import data
from bequest.data.catalog import DATA
from bequest.losses.distillation import accuracy
from bequest.nn import zoo
from bequest.nn.normalize import Normalized
from bequest.run import Run
from bequest.studies.teachers import trained_classifier
from bequest.synthesis.observer import Monitor, predict


def rebuilds(name: str, network: str, *, epochs: int) -> dict[str, Any]:
    """What rebuilds the zoo network that a run on the data set of that name leaves.

    Args:
        name: Of the data set.
        network: Of the zoo.
        epochs: Of the teacher's training; 0 is the public one, with a normalisation of its own.
    """
    entry = DATA[name]
    mean, std = (entry.mean, entry.std) if epochs else data.PUBLIC_NORMALIZATION
    return {
        "student": network,
        "num_classes": len(entry.class_names),
        "image_size": entry.image_size,
        "mean": mean,
        "std": std,
    }


def teacher_for(name: str, images: data.ImageData, *, epochs: int, run: Run) -> Normalized:
    """The teacher of a run, which depends on the run's seed alone.

    Args:
        name: Of the zoo.
        images: What it is trained on.
        epochs: Of its training; 0 takes public weights instead.
        run: Seed, device, precision.
    """
    if not epochs:
        return Normalized(data.public_network(name), *data.PUBLIC_NORMALIZATION)
    network = trained_classifier(name, images, epochs=epochs, seed=run.seed, run=run)
    return Normalized(network, images.mean, images.std)


def student_for(name: str, images: data.ImageData, *, epochs: int, run: Run) -> Normalized:
    """The initial student of a run, which depends on the run's seed alone.

    Images reach it as they reach the teacher of `teacher_for` with the same `epochs`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        network = zoo.build(name, num_classes=images.num_classes, in_channels=images.image_size[0])
    mean, std = (images.mean, images.std) if epochs else data.PUBLIC_NORMALIZATION
    return Normalized(network, mean, std)


def top1_monitor(images: data.ImageData, run: Run, *, name: str = "accuracy") -> Monitor:
    """Top-1 accuracy on the test images in percent, under that name."""
    pixels = images.test_images.to(run.device)
    labels = images.test_labels.to(run.device)

    def monitor(network: nn.Module) -> dict[str, float]:
        return {name: 100 * accuracy(predict(network, pixels, run), labels).item()}

    return monitor
