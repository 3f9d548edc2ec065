"""What studies with an unlabelled pool share: the data, the pool, the teacher, the student."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from bequest import data
from bequest.data.cache import cache_folder
from bequest.data.catalog import DATA
from bequest.data.pool import load_pool
from bequest.errors import InputError
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.run import Budget, Result, Run
from bequest.studies.classification import rebuilds, student_for, teacher_for, top1_monitor
from bequest.studies.unlabelled.foreign_images import foreign_images

_TINY_IMAGENET = ("tiny_imagenet100_sub.tar", "tiny-imagenet-200/train")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies with a pool."""

    data: str
    teacher: str
    student: str
    teacher_epochs: int
    """0 takes public weights instead of training."""
    characters: int
    """Rendered characters in the pool; with none, the pool is Tiny-ImageNet."""
    photographs: int
    """Cuttings of photographs in the pool."""
    digits: bool
    """Whether scikit-learn's small digits, enlarged, are in the pool."""
    note: str


SETTINGS = {
    "default": Setting(
        data="mnist5k",
        teacher="convnet16",
        student="convnet4",
        teacher_epochs=12,
        characters=4000,
        photographs=2000,
        digits=True,
        note="4,000 + 1,000 MNIST digits, 28x28; a pool of 4,000 printed characters, 2,000 "
        "cuttings of photographs and 1,347 enlarged 8x8 digits; a teacher trained on the spot for "
        "each seed",
    ),
    "smoke": Setting(
        data="digits",
        teacher="convnet16",
        student="convnet4",
        teacher_epochs=8,
        characters=400,
        photographs=200,
        digits=False,
        note="1,347 + 450 digits, 8x8; a pool of 600; seconds",
    ),
    "cifar10": Setting(
        data="cifar10",
        teacher="resnet56",
        student="resnet20",
        teacher_epochs=0,
        characters=0,
        photographs=0,
        digits=False,
        note="CIFAR-10, the public ResNet-56; a pool of Tiny-ImageNet, from the cache folder; "
        "hours on a CPU",
    ),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def budget(size: str) -> Budget:
    """None: the arms of a size have the same number of student updates."""
    return Budget()


def student(size: str) -> dict[str, Any]:
    """What rebuilds the student that a run leaves."""
    setting = SETTINGS[size]
    return rebuilds(setting.data, setting.student, epochs=setting.teacher_epochs)


@cache
def pool(size: str) -> Tensor:
    """The unlabelled images of that size, uint8. Shared: don't write into it.

    Raises:
        InputError: When Tiny-ImageNet is not in the cache folder.
    """
    setting = SETTINGS[size]
    image_size = DATA[setting.data].image_size
    if setting.characters:
        images = foreign_images(setting.characters, setting.photographs, side=image_size[-1])
        if setting.digits:
            images = torch.cat((load_pool("digits", image_size=image_size).images, images))
        return images
    for name in _TINY_IMAGENET:
        path = cache_folder() / name
        if path.exists():
            return load_pool(path, image_size=image_size).images
    raise InputError(
        f"The pool of this size is Tiny-ImageNet, which is not in {cache_folder()}: put its folder "
        f"{_TINY_IMAGENET[1]} there. BEQUEST_CACHE names another cache folder."
    )


def execute(method: Any, size: str, run: Run) -> Result:
    """Trains or loads the teacher, runs the method on the pool, evaluates on the test images.

    Teacher and initial student depend on the seed and the size alone, so arms are paired.
    """
    setting = SETTINGS[size]
    # First what may be missing, then what takes time.
    images = data.load(setting.data)
    unlabelled = pool(size)
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
    else:
        arguments["pool"] = unlabelled
    result = method.fit(teacher, learner, **arguments)
    result.metrics["teacher_accuracy"] = monitor(run.place(teacher))["accuracy"]
    return result
