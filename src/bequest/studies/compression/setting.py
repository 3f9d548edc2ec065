"""What studies of compression share: the network to be pruned, its data, how it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bequest import data
from bequest.nn.normalize import Normalized
from bequest.run import Result, Run
from bequest.studies.classification import rebuilds, teacher_for, top1_monitor
from bequest.studies.compression.keypoints import (
    CANVAS,
    compose,
    keypoint_monitor,
    trained_keypoint_network,
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies of compression."""

    data: str
    network: str
    epochs: int
    """Of the network's training; 0 takes public weights."""
    task: str
    """`classes`, or `keypoints` on canvases of the data's images."""
    note: str


SETTINGS = {
    "default": Setting(
        data="mnist5k",
        network="resnet8",
        epochs=10,
        task="classes",
        note="4,000 + 1,000 MNIST digits, 28x28; a ResNet-8 trained on the spot for each seed; "
        "the score is top-1 in percent",
    ),
    "smoke": Setting(
        data="digits",
        network="resnet8",
        epochs=6,
        task="classes",
        note="1,347 + 450 digits, 8x8; seconds; the score is top-1 in percent",
    ),
    "keypoints": Setting(
        data="mnist5k",
        network="keypoints",
        epochs=6,
        task="keypoints",
        note="two MNIST digits on a 40x40 canvas, a heat map for each class on a residual "
        "backbone; the score is the percentage of digits found",
    ),
    "cifar10": Setting(
        data="cifar10",
        network="resnet56",
        epochs=0,
        task="classes",
        note="CIFAR-10, the public ResNet-56; the score is top-1 in percent; "
        "1,000 or more CPU seconds an arm",
    ),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}
_CANVASES = 4000


def student(size: str) -> dict[str, Any]:
    """What rebuilds the unpruned network of a run; `architecture.json` says how it was cut.

    Nothing for keypoints, whose network gives no logits.
    """
    setting = SETTINGS[size]
    if setting.task == "keypoints":
        return {}
    return rebuilds(setting.data, setting.network, epochs=setting.epochs)


def execute(method: Any, size: str, run: Run) -> Result:
    """Trains or loads the network, compresses it, measures on the test images.

    The network depends on the seed and the size alone, so arms are paired. Real images go only to
    a method whose field `images` asks for them.
    """
    setting = SETTINGS[size]
    images = data.load(setting.data)
    network, real = _prepared(setting, images, run)
    keypoints = setting.task == "keypoints"
    return method.fit(
        network,
        image_size=CANVAS if keypoints else images.image_size,
        num_classes=None if keypoints else images.num_classes,
        backbone="backbone" if keypoints else "",
        real_images=real if method.images == "real" else None,
        run=run,
        monitor=keypoint_monitor(images, run)
        if keypoints
        else top1_monitor(images, run, name="score"),
    )


def _prepared(setting: Setting, images: data.ImageData, run: Run) -> tuple[Normalized, Tensor]:
    """The trained network, and real images for the upper control."""
    if setting.task == "keypoints":
        network = trained_keypoint_network(
            images, canvases=_CANVASES, epochs=setting.epochs, seed=run.seed, run=run
        )
        real, _, _ = compose(
            images.train_images, images.train_labels, count=_CANVASES, seed=run.seed
        )
        return Normalized(network, images.mean, images.std), real
    teacher = teacher_for(setting.network, images, epochs=setting.epochs, run=run)
    return teacher, images.train_images
