"""What studies of distillation with data share: images, few of them labelled, teacher, student."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bequest import data
from bequest.data.splits import stratified_split
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.run import Budget, Result, Run
from bequest.studies.classification import rebuilds, student_for, teacher_for, top1_monitor


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
    tested: int = 0
    """How many of the test images the student is tested on, all classes alike; 0: all."""
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
    return rebuilds(setting.data, setting.student, epochs=setting.teacher_epochs)


def execute(method: Any, size: str, run: Run) -> Result:
    """Trains or loads the teacher, distils on the labelled images, evaluates on the test images.

    Teacher and initial student depend on the seed and the size alone, so arms are paired; the
    labelled images are the same for all seeds.
    """
    return distil(method, SETTINGS[size], run)


def distil(method: Any, setting: Setting, run: Run) -> Result:
    """The same for any setting."""
    images = data.load(setting.data)
    epochs = setting.teacher_epochs
    teacher = teacher_for(setting.teacher, images, epochs=epochs, run=run)
    learner = student_for(setting.student, images, epochs=epochs, run=run)
    pixels, labels = images.train_images, images.train_labels
    if setting.labelled:
        _, few = stratified_split(labels, test=setting.labelled)
        pixels, labels = pixels[few], labels[few]
    if setting.tested:
        _, few = stratified_split(images.test_labels, test=setting.tested)
        images = replace(
            images, test_images=images.test_images[few], test_labels=images.test_labels[few]
        )
    monitor = top1_monitor(images, run)
    arguments: dict[str, Any] = {
        "images": pixels,
        "image_size": images.image_size,
        "num_classes": images.num_classes,
        "run": run,
        "monitor": monitor,
    }
    if not isinstance(method, RealDataKD):  # which needs no labels
        arguments["labels"] = labels
    result = method.fit(teacher, learner, **arguments)
    result.metrics["teacher_accuracy"] = monitor(run.place(teacher))["accuracy"]
    return result
