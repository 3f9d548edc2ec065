"""What studies of continual learning share: streams of real images, exams, the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest import data
from bequest.data.catalog import DATA
from bequest.memory.protocols import (
    class_incremental,
    domain_incremental,
    exams_all_round,
    exams_by_task,
    rotating_pairs,
    split_classes,
    turned_bytes,
)
from bequest.memory.replay import to_bytes, to_floats
from bequest.memory.stream import Exam, Stream
from bequest.nn import zoo
from bequest.nn.normalize import Normalized
from bequest.run import Budget, Result, Run


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies of continual learning."""

    data: str
    network: str
    protocol: Literal["classes", "domains", "pairs"]
    """New classes with each task, the same classes turned further with each task, or two classes
    at a time that turn and come again."""
    num_classes: int
    """The first so many of the data set."""
    tasks: tuple[tuple[int, ...], ...] = ()
    """Of `classes`: the classes of each task."""
    degrees: tuple[float, ...] = ()
    """Of `domains`: how far the images of each are turned."""
    epochs: int = 1
    batch_size: int = 32
    halved: bool = False
    """Whether images are brought to half their height and width first, which is a quarter of the
    work."""
    note: str


SETTINGS = {
    "default": Setting(
        data="mnist5k",
        network="convnet8",
        protocol="classes",
        num_classes=9,
        tasks=((0, 1), (2, 3), (4, 5), (6, 7, 8)),
        epochs=8,
        halved=True,
        note="MNIST at 14x14: 3,600 images of the digits 0 to 8 (a 9 turned round is a 6) in four "
        "tasks of two or three digits, eight epochs each, without word of tasks; 900 for the exams",
    ),
    "smoke": Setting(
        data="digits",
        network="convnet4",
        protocol="classes",
        num_classes=6,
        tasks=((0, 1), (2, 3), (4, 5)),
        epochs=2,
        note="digits 0 to 5, 8x8, in three tasks; seconds",
    ),
    "rotated": Setting(
        data="mnist5k",
        network="convnet8",
        protocol="domains",
        num_classes=9,
        degrees=(0.0, 45.0, 90.0, 135.0),
        epochs=2,
        halved=True,
        note="MNIST at 14x14, digits 0 to 8, in four domains: all 3,600 images, turned by 0, 45, "
        "90 and 135 degrees, two epochs each",
    ),
    "mnist-360": Setting(
        data="mnist5k",
        network="convnet8",
        protocol="pairs",
        num_classes=9,
        batch_size=4,
        halved=True,
        note="MNIST-360 of 3,600 images of the digits 0 to 8, at 14x14: pairs of neighbouring "
        "digits, three rounds, turning by a full circle, each image once; 900 for the exams, all "
        "round",
    ),
    "fashion": Setting(
        data="fashion-mnist",
        network="convnet16",
        protocol="classes",
        num_classes=10,
        tasks=split_classes(range(10), per_task=2),
        epochs=5,
        note="Fashion-MNIST whole, five tasks of two kinds of clothes, five epochs each; an hour "
        "on a CPU",
    ),
    "cifar10": Setting(
        data="cifar10",
        network="resnet18",
        protocol="classes",
        num_classes=10,
        tasks=split_classes(range(10), per_task=2),
        epochs=50,
        note="sequential CIFAR-10 as published: five tasks of two classes, fifty epochs each; for "
        "a GPU",
    ),
}
SIZES = tuple(SETTINGS)
HANDWRITING = tuple(size for size, s in SETTINGS.items() if s.data in ("mnist5k", "digits"))
"""The sizes whose images mean something else when turned by a right angle."""
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def budget(size: str) -> Budget:
    """None: all arms of a size see the same stream, in as many steps."""
    return Budget()


def student(size: str) -> dict[str, Any]:
    """What rebuilds the network that a run leaves."""
    setting = SETTINGS[size]
    entry = DATA[setting.data]
    channels, height, width = entry.image_size
    scale = 2 if setting.halved else 1
    return {
        "student": setting.network,
        "num_classes": setting.num_classes,
        "image_size": (channels, height // scale, width // scale),
        "mean": entry.mean,
        "std": entry.std,
    }


def stream_for(setting: Setting, images: data.ImageData, *, seed: int) -> tuple[Stream, list[Exam]]:
    """The stream of that seed, and exams on the test images."""
    rng = torch.Generator().manual_seed(seed)
    pixels, labels = _shown(images.train_images, images.train_labels, setting)
    asked, answers = _shown(images.test_images, images.test_labels, setting)
    shared: dict[str, Any] = {
        "num_classes": setting.num_classes,
        "batch_size": setting.batch_size,
        "rng": rng,
    }
    match setting.protocol:
        case "classes":
            stream = class_incremental(
                pixels, labels, tasks=setting.tasks, epochs=setting.epochs, **shared
            )
            return stream, exams_by_task(asked, answers, tasks=setting.tasks)
        case "domains":
            domains = [(turned_bytes(pixels, angle), labels) for angle in setting.degrees]
            exams = [
                Exam(
                    name=f"{angle:g}°",
                    images=turned_bytes(asked, angle),
                    labels=answers,
                    classes=tuple(range(setting.num_classes)),
                    learnt=number,
                )
                for number, angle in enumerate(setting.degrees)
            ]
            return domain_incremental(domains, epochs=setting.epochs, **shared), exams
        case "pairs":
            exams = exams_all_round(asked, answers, num_classes=setting.num_classes)
            return rotating_pairs(pixels, labels, **shared), exams


def network_for(setting: Setting, images: data.ImageData, *, seed: int) -> nn.Module:
    """The initial network of that seed; takes images in [0, 1]."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = zoo.build(
            setting.network, num_classes=setting.num_classes, in_channels=images.image_size[0]
        )
    return Normalized(network, images.mean, images.std)


def execute(method: Any, size: str, run: Run) -> Result:
    """Runs the method along the stream of that size.

    Stream and initial network depend on the seed and the size alone, so arms are paired.
    """
    setting = SETTINGS[size]
    images = data.load(setting.data)
    stream, exams = stream_for(setting, images, seed=run.seed)
    network = network_for(setting, images, seed=run.seed)
    return method.fit(network, stream=stream, exams=exams, run=run)


def _shown(pixels: Tensor, labels: Tensor, setting: Setting) -> tuple[Tensor, Tensor]:
    """The images of the classes that take part, in the size that is asked for."""
    kept = labels < setting.num_classes
    pixels, labels = pixels[kept], labels[kept]
    return (to_bytes(F.avg_pool2d(to_floats(pixels), 2)) if setting.halved else pixels), labels
