"""What studies of self-supervised learning share: images, networks, the teacher, the evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bequest import data
from bequest.data.splits import stratified_split
from bequest.data.tiny_imagenet import tiny_imagenet
from bequest.memory.epochs import EpochSampler
from bequest.memory.unlabelled import UnlabelledPool
from bequest.methods.self_supervised.mae import MAE
from bequest.methods.self_supervised.tinymim import TinyMIM
from bequest.nn.normalize import Normalized
from bequest.nn.transformer_layers import LayerTap, unwrapped
from bequest.nn.vit import VisionTransformer, load_encoder
from bequest.run import Budget, Result, Run
from bequest.studies.classification import top1_monitor
from bequest.studies.teachers import kept
from bequest.synthesis.fine_tuning import FineTuner, FineTuning, linear_probe, mean_tokens
from bequest.synthesis.masked_pretraining import MaskedPretraining
from bequest.synthesis.relation_report import RelationReport

_VERSION = 1
_KINDS = ("qk", "vv")


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of a vision transformer."""

    dim: int
    depth: int
    heads: int


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies."""

    data: str
    patch: int
    margin: int = 0
    """Pixels that are cut off on each side."""
    teacher: Size
    middle: Size
    student: Size
    pretraining: dict[str, Any]
    """Fields of `MAE` for the teacher."""
    labelled: int
    """How many of the training images have labels for fine-tuning, all classes alike."""
    tuning: FineTuning
    note: str


_PHOTOGRAPHS: dict[str, Any] = {
    "teacher": Size(dim=192, depth=8, heads=6),
    "middle": Size(dim=144, depth=6, heads=6),
    "student": Size(dim=96, depth=6, heads=3),
    "tuning": FineTuning(steps=4000, batch_size=128, learning_rate=1e-3, crop_padding=4, flip=True),
}
_PHOTOGRAPH_PRETRAINING: dict[str, Any] = {
    "steps": 40_000,
    "batch_size": 256,
    "decoder_dim": 96,
    "decoder_depth": 2,
    "decoder_heads": 3,
    "learning_rate": 1e-3,
}
SETTINGS = {
    "default": Setting(
        data="mnist5k",
        margin=4,
        patch=4,
        teacher=Size(dim=96, depth=6, heads=6),
        middle=Size(dim=72, depth=4, heads=6),
        student=Size(dim=48, depth=4, heads=3),
        pretraining={
            "steps": 1000,
            "batch_size": 128,
            "decoder_dim": 48,
            "decoder_depth": 1,
            "decoder_heads": 4,
            "learning_rate": 1.5e-3,
            "smallest_crop": 0.6,
            "flip": False,
        },
        labelled=200,
        tuning=FineTuning(
            steps=120, batch_size=50, learning_rate=3e-3, drop_path=0.0, crop_padding=1
        ),
        note="MNIST, the middle 20x20 in patches of 4: 4,000 images without labels, 200 of them "
        "with labels for fine-tuning, 1,000 for the test; a teacher pre-trained on the spot for "
        "each seed",
    ),
    "smoke": Setting(
        data="digits",
        patch=2,
        teacher=Size(dim=32, depth=4, heads=4),
        middle=Size(dim=24, depth=2, heads=2),
        student=Size(dim=16, depth=2, heads=2),
        pretraining={
            "steps": 20,
            "batch_size": 64,
            "decoder_dim": 16,
            "decoder_depth": 1,
            "decoder_heads": 2,
            "learning_rate": 1e-3,
            "smallest_crop": 0.6,
            "flip": False,
        },
        labelled=100,
        tuning=FineTuning(steps=15, batch_size=50, learning_rate=2e-3, crop_padding=1),
        note="digits, 8x8 in patches of 2: 1,347 images without labels, 100 of them with labels, "
        "450 for the test; seconds",
    ),
    "cifar10": Setting(
        data="cifar10",
        patch=4,
        pretraining=_PHOTOGRAPH_PRETRAINING,
        labelled=5000,
        note="CIFAR-10 in patches of 4: 50,000 images without labels, 5,000 of them with labels "
        "for fine-tuning; hours on a CPU",
        **_PHOTOGRAPHS,
    ),
    "tiny-imagenet-100": Setting(
        data="tiny-imagenet-100",
        patch=8,
        pretraining=_PHOTOGRAPH_PRETRAINING,
        labelled=6000,
        note="100 classes of Tiny-ImageNet from the cache folder, 64x64 in patches of 8: 6,000 "
        "images, all with labels for fine-tuning; hours on a CPU",
        **_PHOTOGRAPHS,
    ),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def budget(size: str) -> Budget:
    """None: the arms of a size say their steps themselves."""
    return Budget()


def execute(method: Any, size: str, run: Run) -> Result:
    """Pre-trains the student with the method, fine-tunes a copy, evaluates on the test images.

    Teacher, initial networks and labelled images depend on the seed and the size alone, so arms are
    paired. Returned are the pre-trained weights; figures: `accuracy` after fine-tuning,
    `probe_accuracy` of a linear probe, `relation_correlation` with the teacher's layer at three
    quarters, whatever layer an arm was held to.
    """
    setting = SETTINGS[size]
    images = images_of(setting)
    teacher = pretrained(setting, images, run=run)
    student = untrained(setting.student, setting, images, seed=run.seed)
    arguments: dict[str, Any] = {
        "images": images.train_images,
        "image_size": images.image_size,
        "run": run,
    }
    if isinstance(method, TinyMIM):
        middle = untrained(setting.middle, setting, images, seed=run.seed)
        result = method.fit(teacher, student, middle=[middle], **arguments)
    else:
        result = method.fit(student, **arguments)
    return evaluated(result, teacher, setting, images, run)


def images_of(setting: Setting) -> data.ImageData:
    """The images of that setting, without their margin."""
    archived = setting.data == "tiny-imagenet-100"
    images, margin = tiny_imagenet() if archived else data.load(setting.data), setting.margin
    if not margin:
        return images
    middle = (..., slice(margin, -margin), slice(margin, -margin))
    return replace(
        images,
        name=f"{images.name}-{margin}",
        train_images=images.train_images[middle],
        test_images=images.test_images[middle],
    )


def untrained(size: Size, setting: Setting, images: data.ImageData, *, seed: int) -> Normalized:
    """A vision transformer for these images, whose weights depend on the arguments alone."""
    return Normalized(_transformer(size, setting, images, seed=seed), images.mean, images.std)


def _transformer(
    size: Size, setting: Setting, images: data.ImageData, *, seed: int, classifies: bool = False
) -> VisionTransformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VisionTransformer(
            image_size=images.image_size,
            patch=setting.patch,
            dim=size.dim,
            depth=size.depth,
            heads=size.heads,
            num_classes=images.num_classes if classifies else 0,
            pooling="mean" if classifies else "token",
        )


def pretrained(setting: Setting, images: data.ImageData, *, run: Run) -> Normalized:
    """The teacher: a masked autoencoder's encoder, kept in the cache folder.

    It depends on setting and seed alone. The run lends its device and precision only: its budget,
    steps and random state are left alone.
    """
    recipe = MAE(**setting.pretraining)
    key = f"mae/{_VERSION}/{images.name}/{setting.patch}/{setting.teacher}/{recipe}/{run.seed}"
    network = untrained(setting.teacher, setting, images, seed=run.seed)

    def train() -> None:
        size = images.image_size
        pool = UnlabelledPool(images.train_images, image_size=size, device=run.device)
        lesson = MaskedPretraining(
            run.place(network), recipe, image_size=size, seed=run.seed, run=run
        )
        rng = torch.Generator(run.device).manual_seed(run.seed)
        epoch = EpochSampler(len(pool), run.device)
        for step in range(recipe.steps):
            pixels = pool.take(epoch.draw(recipe.batch_size, rng))
            lesson.step(pixels, fraction=step / recipe.steps, rng=rng)

    kept(network, key, train, run)
    return network


def evaluated(
    result: Result, teacher: nn.Module, setting: Setting, images: data.ImageData, run: Run
) -> Result:
    """Fine-tunes a copy on the labelled images; then compares relations, and probes.

    The pre-trained network is part of the checkpoint, and looked at behind the loop only: a run
    that is resumed while fine-tuning goes on has it from there.
    """
    student = result.model
    pixels, labels = (t.to(run.device) for t in (images.test_images, images.test_labels))
    few_pixels, few_labels = (t.to(run.device) for t in labelled(setting, images))
    tuner = FineTuner(_classifier(student, setting, images, run), setting.tuning, run)
    epoch, rng = EpochSampler(len(few_pixels), run.device), run.stream("fine-tuning")
    batch = min(setting.tuning.batch_size, len(few_pixels))
    state = {"student": student, "tuner": tuner, "epoch": epoch}
    for _ in run.steps(setting.tuning.steps, name="fine-tuning", state=state):
        places = epoch.draw(batch, rng)
        run.log(fine_tuning_loss=tuner.step(few_pixels[places], few_labels[places], rng))
    taps = LayerTap(run.place(teacher), _taught_layer(setting)), LayerTap(student)
    heads = taps[0].heads if taps[1].dim % taps[0].heads == 0 else 0
    report = RelationReport(*taps, heads=heads, run=run)
    figures = top1_monitor(images, run)(tuner.network) | report.correlation(pixels, _KINDS)
    known, unknown = (mean_tokens(student, part, run) for part in (few_pixels, pixels))
    figures["probe_accuracy"] = 100 * linear_probe(known, few_labels, unknown, labels)
    run.record(**figures)
    run.picture("relations", report.picture(pixels[:4], _KINDS))
    return run.result(student, figures)


def labelled(setting: Setting, images: data.ImageData) -> tuple[Tensor, Tensor]:
    """The training images that have labels, the same for all seeds."""
    if setting.labelled >= len(images.train_labels):
        return images.train_images, images.train_labels
    _, few = stratified_split(images.train_labels, test=setting.labelled)
    return images.train_images[few], images.train_labels[few]


def _taught_layer(setting: Setting) -> int:
    """Three quarters of the teacher's depth, as the method's default."""
    return round(0.75 * setting.teacher.depth)


def _classifier(
    student: nn.Module, setting: Setting, images: data.ImageData, run: Run
) -> nn.Module:
    """A copy of the pre-trained network behind which the mean of its tokens is classified."""
    network = _transformer(setting.student, setting, images, seed=run.seed, classifies=True)
    load_encoder(network, unwrapped(student))
    return run.place(Normalized(network, images.mean, images.std))
