"""SSD-KD for label maps: phi by hand, special cases, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import bequest
from bequest.errors import InputError
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.methods.data_free.ssd_kd import modulating_weight as modulating_weight_of_images
from bequest.methods.data_free.uniform_noise import UniformNoise
from bequest.methods.segmentation.ssd_kd_segmentation import SSDKDSegmentation, modulating_weight
from bequest.nn.unet import UNet
from bequest.run import Run
from bequest.studies.segmentation.teachers import augmented

SMALL = SSDKDSegmentation(
    buffer_size=30,
    rounds=2,
    student_steps=2,
    synthesis_batch=16,
    batch_size=8,
    patch=4,
    inversion_steps=2,
    latent_dim=8,
    generator_width=4,
    crop_padding=1,
)
LEARNER = {"batch_size": 8, "temperature": 1.0, "learning_rate": 0.1}


def test_phi_of_a_histogram_by_hand() -> None:
    # Three pixels of class 0 with p = 0.8, one of class 2 with p = 0.6.
    sure, other = torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.3, 0.1, 0.6])
    image = torch.stack([sure, sure, sure, other], dim=1).log().view(1, 3, 2, 2)
    counts = torch.tensor([60.0, 30.0, 10.0])
    diversity = 1 - (0.75 * 0.6 + 0.25 * 0.1)
    difficulty = (1 - (3 * 0.8 + 0.6) / 4) ** 2
    assert modulating_weight(image, counts).item() == pytest.approx(diversity * difficulty)
    alone = modulating_weight(image, counts, difficulty=False)
    assert alone.item() == pytest.approx(diversity)
    alone = modulating_weight(image, counts, diversity=False, gamma=1.0)
    assert alone.item() == pytest.approx(difficulty**0.5, rel=1e-5)
    assert modulating_weight(image, counts, diversity=False, difficulty=False).item() == 1.0


def test_of_images_of_one_pixel_it_is_phi_of_classification() -> None:
    logits = 3 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([5.0, 1.0, 0.0, 9.0])
    expected = modulating_weight_of_images(logits, counts)
    torch.testing.assert_close(modulating_weight(logits[:, :, None, None], counts), expected)


def test_phi_is_a_constant_in_the_unit_interval() -> None:
    logits = torch.randn(20, 4, 3, 3, requires_grad=True)
    phi = modulating_weight(logits, torch.tensor([5.0, 1.0, 0.0, 9.0]))
    assert not phi.requires_grad
    assert 0 <= phi.min() <= phi.max() <= 1
    torch.testing.assert_close(
        modulating_weight(logits, torch.zeros(4)),
        modulating_weight(logits, torch.zeros(4), diversity=False),
    )


def networks(classes: int = 3) -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher, student = (
            UNet(width=width, num_classes=classes, in_channels=1, depth=1) for width in (4, 2)
        )
        for _ in range(3):  # fills the running statistics
            teacher(torch.rand(16, 1, 8, 8))
    return teacher.eval(), student


def fit(method: SSDKDSegmentation) -> tuple[torch.Tensor, Run]:
    teacher, student = networks()
    with Run(device="cpu", precision="fp32") as run:
        method.fit(teacher, student, image_size=(1, 8, 8), num_classes=3, run=run)
    return torch.cat([p.detach().flatten() for p in student.parameters()]), run


def test_with_equal_priorities_it_is_uniform_replay() -> None:
    method = replace(SMALL, alpha=0.0, beta=1.0)
    assert torch.equal(fit(method)[0], fit(replace(method, beta=0.0))[0])


def test_before_a_buffer_overwrites_it_is_a_growing_pool() -> None:
    plain = replace(SMALL, modulation=False, priority=False, warmup_rounds=2)
    ring, pool = (fit(replace(plain, buffer_size=size))[0] for size in (60, 5000))
    assert torch.equal(ring, pool)


def test_the_parts_change_what_is_learnt() -> None:
    whole = fit(SMALL)[0]
    for part in ({"modulation": False}, {"priority": False}, {"targets": "own"}, {"patch": 8}):
        assert not torch.equal(whole, fit(replace(SMALL, **part))[0]), part


def test_what_is_recorded() -> None:
    _, run = fit(SMALL)
    phases = [row["phase"] for row in run.metrics.rows if row["phase"] != "record"]
    assert phases == ["warm-up"] * 2 + ["distillation"] * 4
    records = [row for row in run.metrics.rows if row["phase"] == "record"]
    assert {"agreement", "class_entropy", "confidence"} <= set(records[0])
    assert 0 <= records[0]["class_entropy"] <= 1
    assert set(run.meter.flops) == {"warm-up", "inversion", "distillation", "evaluation"}


class Coarse(nn.Module):
    """Logits at half the resolution."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(self.network(images), 2)


def refuse(teacher: nn.Module, student: nn.Module, message: str, classes: int = 3) -> None:
    with Run(device="cpu") as run, pytest.raises(InputError, match=message):
        SMALL.fit(teacher, student, image_size=(1, 8, 8), num_classes=classes, run=run)


def test_networks_that_do_not_fit_are_refused() -> None:
    teacher, student = networks()
    refuse(Coarse(teacher), student, r"teacher gives .*\(2, 3, 4, 4\).*enlarges")
    refuse(teacher, Coarse(student), r"student gives .*\(2, 3, 4, 4\)")
    refuse(teacher, student, r"not \(2, 4, 8, 8\)", classes=4)
    refuse(networks(classes=4)[0], student, r"teacher gives .*\(2, 4, 8, 8\)")
    refuse(nn.Conv2d(1, 3, 3, padding=1), student, "no BatchNorm")
    refuse(teacher, teacher, "same object")
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    refuse(classifier, student, "logits for each pixel")


def test_the_controls_take_label_maps() -> None:
    teacher, student = networks()
    sizes = {"image_size": (1, 8, 8), "num_classes": 3}
    images = torch.randint(256, (20, 1, 8, 8), dtype=torch.uint8)
    with Run(device="cpu", precision="fp32") as run:
        UniformNoise(**LEARNER, steps=2).fit(teacher, student, **sizes, run=run)
    for augmentation in ({"crop_padding": 1, "flip": True}, {"crop_padding": 0, "flip": False}):
        with Run(device="cpu", precision="fp32") as run:
            real = RealDataKD(**LEARNER, steps=2, **augmentation)
            real.fit(teacher, student, images=images, **sizes, run=run)
    with Run(device="cpu") as run, pytest.raises(InputError, match="belong to pixels"):
        real = RealDataKD(**LEARNER, steps=2, reuse_teacher_logits=True)
        real.fit(teacher, student, images=images, **sizes, run=run)


def test_the_public_face_takes_it() -> None:
    teacher, student = networks()
    with pytest.warns(UserWarning, match="mean and std"):
        learnt, result = bequest.distill(
            teacher, student, method=SMALL, image_size=(1, 8, 8), num_classes=3, device="cpu"
        )
    assert learnt is student
    assert 0 <= result.metrics["agreement"] <= 100


def test_labels_move_with_their_image_and_what_comes_in_is_ignored() -> None:
    labels = torch.randint(0, 4, (30, 6, 7), dtype=torch.uint8)
    labels[:, 2, 3] = 255
    rng = torch.Generator().manual_seed(0)
    images, moved = augmented(labels[:, None] + 1, labels, rng, padding=2, flip=True)
    outside = images[:, 0] == 0  # 255 + 1 is 0, too
    assert torch.equal(moved[~outside], images[:, 0][~outside] - 1)
    assert (moved[outside] == 255).all()
    assert not torch.equal(moved, labels)
