"""What all segmentation studies share: the data, the teacher, the student, the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from bequest.data.camvid import camvid
from bequest.data.composed_digits import composed_digits
from bequest.data.label_maps import IGNORED, SegmentationData
from bequest.memory.replay import to_floats
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.metrics.segmentation import confusion_matrix, mean_iou, pixel_accuracy
from bequest.nn.normalize import Normalized
from bequest.run import Budget, Result, Run
from bequest.studies.segmentation.teachers import trained_segmenter, untrained_segmenter
from bequest.synthesis.map_observer import paint, palette
from bequest.synthesis.observer import Monitor, predict


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the segmentation studies; both networks are U-Nets."""

    data: Callable[[], SegmentationData]
    teacher: int
    """Width of the teacher."""
    student: int
    """Width of the student."""
    depth: int
    """How often both halve the resolution."""
    teacher_epochs: int
    flops: float
    """Budget of each arm: inversion and distillation together."""
    note: str


def _smoke_digits() -> SegmentationData:
    return composed_digits("digits", side=16, digit=8, each=2, classes=3, train=500)


SETTINGS = {
    "default": Setting(
        data=composed_digits,
        teacher=16,
        student=8,
        depth=2,
        teacher_epochs=8,
        flops=2e12,
        note="2,000 + 400 scenes of MNIST digits 0 to 4 on textures, 24x24, a label for each "
        "pixel; a teacher trained on the spot for each seed",
    ),
    "smoke": Setting(
        data=_smoke_digits,
        teacher=8,
        student=4,
        depth=2,
        teacher_epochs=12,
        flops=6e9,
        note="500 + 100 scenes of digits 0 to 2 on textures, 16x16; seconds",
    ),
    "camvid": Setting(
        data=camvid,
        teacher=16,
        student=8,
        depth=3,
        teacher_epochs=30,
        flops=6e12,
        note="CamVid, 367 + 233 street scenes at 64x48, 11 classes without void; a teacher trained "
        "on the spot for each seed",
    ),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def budget(size: str) -> Budget:
    """The same FLOPs for every arm of that size."""
    return Budget(flops=SETTINGS[size].flops)


def execute(method: Any, size: str, run: Run) -> Result:
    """Trains the teacher, runs the method without data, evaluates on the test images.

    Teacher and initial student depend on the seed and the size alone, so arms are paired.
    """
    setting = SETTINGS[size]
    images = setting.data()
    trained = trained_segmenter(
        setting.teacher,
        images,
        depth=setting.depth,
        epochs=setting.teacher_epochs,
        seed=run.seed,
        run=run,
    )
    untrained = untrained_segmenter(setting.student, images, depth=setting.depth, seed=run.seed)
    teacher = Normalized(trained, images.mean, images.std)
    learner = Normalized(untrained, images.mean, images.std)
    monitor = map_monitor(images.test_images, images.test_labels, images.num_classes, run)
    arguments: dict[str, Any] = {
        "image_size": images.image_size,
        "num_classes": images.num_classes,
        "run": run,
        "monitor": monitor,
    }
    if isinstance(method, RealDataKD):
        arguments["images"] = images.train_images
    result = method.fit(teacher, learner, **arguments)
    placed = run.place(teacher)
    result.metrics |= {f"teacher_{name}": value for name, value in monitor(placed).items()}
    picture_test(images, {"teacher": placed, "student": result.model}, run)
    return result


def map_monitor(images: Tensor, labels: Tensor, num_classes: int, run: Run) -> Monitor:
    """Mean IoU and the share of right pixels, in percent; pixels without a label do not count.

    Args:
        images: `(count, channels, height, width)`, uint8.
        labels: `(count, height, width)`.
        num_classes: How many classes count.
        run: Device and precision.
    """
    images, labels = images.to(run.device), labels.to(run.device)

    def monitor(network: nn.Module) -> dict[str, float]:
        predicted = predict(network, images, run, batch_size=100).argmax(1)
        confusion = confusion_matrix(predicted, labels, num_classes=num_classes, ignored=IGNORED)
        return {
            "mean_iou": 100 * mean_iou(confusion),
            "pixel_accuracy": 100 * pixel_accuracy(confusion),
        }

    return monitor


def picture_test(
    images: SegmentationData, networks: dict[str, nn.Module], run: Run, *, count: int = 9
) -> None:
    """Keeps test images for the report, their labels, and what each network says of them."""
    colours = palette(images.num_classes).to(run.device)
    spread = slice(None, None, max(len(images.test_images) // count, 1))
    pixels = images.test_images[spread][:count].to(run.device)
    truth = images.test_labels[spread][:count].to(run.device)
    run.picture("test", to_floats(pixels))
    run.picture("test labels", paint(truth, colours))
    for name, network in networks.items():
        labels = predict(network, pixels, run).argmax(1)
        run.picture(f"test {name} labels", paint(labels, colours))
