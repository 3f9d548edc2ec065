"""What all data-free studies share: the data, the teacher, the student, the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bequest import data
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.run import Budget, Result, Run
from bequest.studies.classification import rebuilds, student_for, teacher_for, top1_monitor


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
    return rebuilds(setting.data, setting.student, epochs=setting.teacher_epochs)


def execute(method: Any, size: str, run: Run) -> Result:
    """Trains or loads the teacher, runs the method without data, evaluates on the test images.

    Teacher and initial student depend on the seed and the size alone, so arms are paired.
    """
    setting = SETTINGS[size]
    images = data.load(setting.data)
    epochs = setting.teacher_epochs
    teacher = teacher_for(setting.teacher, images, epochs=epochs, run=run)
    learner = student_for(setting.student, images, epochs=epochs, run=run)
    monitor = top1_monitor(images, run)
    arguments: dict[str, Any] = {
        "image_size": images.image_size,
        "num_classes": images.num_classes,
        "run": run,
        "monitor": monitor,
    }
    if isinstance(method, RealDataKD):
        arguments["images"] = images.train_images
    result = method.fit(teacher, learner, **arguments)
    result.metrics["teacher_accuracy"] = monitor(run.place(teacher))["accuracy"]
    return result
