"""What studies of distillation with data share: images, few of them labelled, teacher, student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bequest import data
from bequest.data.catalog import DATA
from bequest.data.splits import stratified_split
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.nn import zoo
from bequest.nn.normalize import Normalized
from bequest.run import Budget, Result, Run
from bequest.studies.data_free.setting import test_monitor
from bequest.studies.teachers import trained_classifier


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies of distillation with data."""

    data: str
    teacher: str
    student: str
    teacher_epochs: int
    """0 takes public weights instead of training."""
    labelled: int
    """How many of the training images the student has, all classes alike; 0: all."""
    note: str


SETTINGS = {
    "default": Setting(
        data="mnist5k",
        teacher="convnet16",
        student="convnet4",
        teacher_epochs=12,
        labelled=100,
        note="MNIST, 28x28: the student has 100 labelled images, the teacher, trained on the spot "
        "for each seed, had 4,000; 1,000 for the test",
    ),
    "smoke": Setting(
        data="digits",
        teacher="convnet16",
        student="convnet4",
        teacher_epochs=8,
        labelled=300,
        note="digits, 8x8: 300 labelled images of 1,347, 450 for the test; seconds",
    ),
    "cifar10": Setting(
        data="cifar10",
        teacher="resnet56",
        student="resnet20",
        teacher_epochs=0,
        labelled=0,
        note="CIFAR-10 whole, the public ResNet-56; hours on a CPU",
    ),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def budget(size: str) -> Budget:
    """None: the arms of a size have the same number of student steps."""
    return Budget()


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
    """Trains or loads the teacher, distils on the labelled images, evaluates on the test images.

    Teacher and initial student depend on the seed and the size alone, so arms are paired; the
    labelled images are the same for all seeds.
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
    pixels, labels = images.train_images, images.train_labels
    if setting.labelled:
        _, few = stratified_split(labels, test=setting.labelled)
        pixels, labels = pixels[few], labels[few]
    teacher = Normalized(teacher, mean, std)
    monitor = test_monitor(images, run)
    arguments: dict[str, Any] = {
        "images": pixels,
        "image_size": images.image_size,
        "num_classes": images.num_classes,
        "run": run,
        "monitor": monitor,
    }
    if not isinstance(method, RealDataKD):  # which needs no labels
        arguments["labels"] = labels
    result = method.fit(teacher, Normalized(learner, mean, std), **arguments)
    result.metrics["teacher_accuracy"] = monitor(run.place(teacher))["accuracy"]
    return result
