"""What all data-free studies share: the data, the teacher, the student, the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bequest import data
from bequest.data.catalog import DATA
from bequest.losses.distillation import accuracy
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.nn import zoo
from bequest.nn.normalize import Normalized
from bequest.run import Budget, Result, Run
from bequest.studies.teachers import trained_classifier
from bequest.synthesis.observer import Monitor, predict


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the data-free studies."""

    data: str
    teacher: str
    student: str
    teacher_epochs: int
    """0 takes public weights instead of training."""
    flops: float
    """Budget of each arm: inversion and distillation together."""
    note: str


SETTINGS = {
    "default": Setting(
        data="mnist5k",
        teacher="convnet16",
        student="convnet8",
        teacher_epochs=12,
        flops=4e12,
        note="4,000 + 1,000 MNIST digits, 28x28; a teacher trained on the spot for each seed",
    ),
    "smoke": Setting(
        data="digits",
        teacher="convnet16",
        student="convnet8",
        teacher_epochs=8,
        flops=1.2e10,
        note="1,347 + 450 digits, 8x8; seconds",
    ),
    "cifar10": Setting(
        data="cifar10",
        teacher="resnet56",
        student="resnet20",
        teacher_epochs=0,
        flops=3e15,
        note="CIFAR-10, the public ResNet-56; 1,000 or more CPU seconds an arm",
    ),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def budget(size: str) -> Budget:
    """The same FLOPs for every arm of that size."""
    return Budget(flops=SETTINGS[size].flops)


def student(size: str) -> dict[str, Any]:
    """What rebuilds the student that a run leaves."""
    setting = SETTINGS[size]
    entry = DATA[setting.data]
    mean, std = (entry.mean, entry.std) if setting.teacher_epochs else data.PUBLIC_NORMALIZATION
    return {
        "student": setting.student,
        "num_classes": len(entry.class_names),
        "image_size": entry.image_size,
        "mean": mean,
        "std": std,
    }


def execute(method: Any, size: str, run: Run) -> Result:
    """Trains or loads the teacher, runs the method without data, evaluates on the test images.

    Teacher and initial student depend on the seed and the size alone, so arms are paired.
    """
    setting = SETTINGS[size]
    images = data.load(setting.data)
    mean, std = images.mean, images.std
    if setting.teacher_epochs:
        teacher = trained_classifier(
            setting.teacher, images, epochs=setting.teacher_epochs, seed=run.seed, run=run
        )
    else:
        teacher = data.public_network(setting.teacher)
        mean, std = data.PUBLIC_NORMALIZATION
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        learner = zoo.build(
            setting.student, num_classes=images.num_classes, in_channels=images.image_size[0]
        )
    teacher = Normalized(teacher, mean, std)
    learner = Normalized(learner, mean, std)
    arguments: dict[str, Any] = {
        "image_size": images.image_size,
        "num_classes": images.num_classes,
        "run": run,
        "monitor": test_monitor(images, run),
    }
    if isinstance(method, RealDataKD):
        arguments["images"] = images.train_images
    result = method.fit(teacher, learner, **arguments)
    result.metrics["teacher_accuracy"] = test_monitor(images, run)(run.place(teacher))["accuracy"]
    return result


def test_monitor(images: data.ImageData, run: Run) -> Monitor:
    """Top-1 accuracy on the test images, in percent."""
    pixels = images.test_images.to(run.device)
    labels = images.test_labels.to(run.device)

    def monitor(network: nn.Module) -> dict[str, float]:
        return {"accuracy": 100 * accuracy(predict(network, pixels, run), labels).item()}

    return monitor
