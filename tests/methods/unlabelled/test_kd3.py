"""KD3's schedule by hand, its parts and special cases, its way through `distill` and export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bequest
from bequest.errors import InputError
from bequest.export import export, load_student
from bequest.methods.base import change
from bequest.methods.unlabelled.kd3 import KD3, Lesson, trust_in_teacher
from bequest.nn import zoo
from bequest.nn.modes import statistics_untouched
from bequest.nn.normalize import Normalized
from bequest.nn.shared_head import SharedHeadStudent
from bequest.run import Run
from bequest.testing import fingerprint

SIZE = (1, 8, 8)
SHORT = KD3(
    steps=6, batch_size=32, crop_padding=1, smallest_crop=0.0, flip=False, schedule="cosine"
)


@pytest.mark.parametrize(
    ("epoch", "alpha"), [(1, 0.992), (40, 0.937), (80, 0.704), (100, 0.493), (119, 0.268)]
)
def test_the_schedule_has_the_published_values(epoch: int, alpha: float) -> None:
    assert trust_in_teacher(epoch / 240) == pytest.approx(alpha, abs=6e-4)


def test_the_schedule_falls_and_ends_with_the_student() -> None:
    values = [trust_in_teacher(epoch / 240) for epoch in range(241)]
    assert all(0 <= value <= 1 for value in values)
    assert values[:120] == sorted(values[:120], reverse=True)
    assert values[120:] == [0.0] * 121


def pool(count: int = 200) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, *SIZE), generator=rng, dtype=torch.uint8)


def networks() -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher, student = (
            zoo.build(name, num_classes=3, in_channels=1) for name in ("convnet8", "convnet4")
        )
        teacher.train()
        for _ in range(3):  # fills the running statistics
            teacher(torch.randn(32, *SIZE))
    return teacher.eval(), student


def fit(method: KD3, folder: Path | None = None, images: Tensor | None = None) -> tuple:
    teacher, student = networks()
    with Run(folder, device="cpu", precision="fp32") as run:
        result = method.fit(
            teacher,
            student,
            pool=pool() if images is None else images,
            image_size=SIZE,
            num_classes=3,
            run=run,
        )
    return result, student, run


def weights(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_the_student_comes_back_behind_the_teachers_classifier() -> None:
    result, student, _ = fit(SHORT)
    teacher, untrained = networks()
    assert isinstance(result.model, SharedHeadStudent)
    assert result.model.backbone is student
    assert torch.equal(result.model.head.weight, teacher.classifier.weight)
    assert not torch.equal(weights(student.features), weights(untrained.features))
    assert torch.equal(weights(student.classifier), weights(untrained.classifier))
    assert {"agreement", "pool_confidence", "statistics_shift", "kept_share"} <= set(result.metrics)


def test_with_its_own_classifier_the_student_comes_back_alone() -> None:
    result, student, _ = fit(change(SHORT, classifier="own"))
    assert result.model is student
    assert not torch.equal(weights(student.classifier), weights(networks()[1].classifier))


@pytest.mark.parametrize(
    "changes",
    [
        {"selection": False},
        {"trust": "teacher", "threshold": 0.36},
        {"class_wise": False, "threshold": 0.36},
        {"classifier": "own"},
        {"weighting": "none"},
        {"weighting": "normalized"},
        {"contrast": "none"},
        {"contrast": "cross"},
        {"mix_concentration": 5.0},
        {"mixed_statistics": False},
        {"smallest_crop": 0.5},
    ],
    ids=str,
)
def test_each_part_changes_what_is_learnt(changes: dict) -> None:
    # A heavy contrast and a threshold among the answers, so that no part drowns in rounding.
    base = change(SHORT, contrast_weight=1.0, threshold=0.4)
    one, two = (fit(method)[0].model for method in (base, change(base, **changes)))
    assert fingerprint(one) != fingerprint(two)


def test_the_teachers_contrast_leaves_the_student_alone() -> None:
    one, two = (fit(change(SHORT, teacher_contrast=on))[0].model for on in (False, True))
    assert fingerprint(one) == fingerprint(two)


def test_selection_is_one_pass_of_each_network_and_is_counted_apart() -> None:
    teacher, student = networks()
    seen = {"teacher": 0, "student": 0}
    for name, network in (("teacher", teacher), ("student", student)):

        def count(_module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            seen[name] += len(inputs[0])

        network.register_forward_pre_hook(count)
    with Run(device="cpu", precision="fp32") as run:
        lesson = Lesson(teacher, student, SHORT, run, image_size=SIZE)
        before = fingerprint(student)
        seen.update(teacher=0, student=0)
        selected, agreed = lesson.select(pool(), least=32)
    assert seen == {"teacher": 200, "student": 200}
    assert fingerprint(student) == before  # running statistics stay, and it trains on
    assert student.training
    assert selected.mask.sum() >= 32
    assert 0 <= agreed <= 1
    assert set(fit(SHORT)[2].meter.flops) == {"distillation", "selection", "evaluation"}


def test_something_is_always_kept_and_floors_hold() -> None:
    strict = change(SHORT, threshold=1.0, class_wise=False, trust="teacher")
    assert fit(strict)[0].metrics["kept_share"] == pytest.approx(32 / 188)
    floor = fit(change(strict, smallest_share=0.5))[0].metrics["kept_share"]
    assert floor == pytest.approx(0.5, abs=0.01)
    _, _, run = fit(change(SHORT, smallest_trust=0.9))
    trusts = [row["trust"] for row in run.metrics.rows if "trust" in row]
    assert min(trusts) == 0.9


def test_a_pool_smaller_than_a_batch_is_a_batch() -> None:
    result, _, _ = fit(change(SHORT, batch_size=1024), images=pool(64))
    assert torch.isfinite(weights(result.model)).all()


def test_perturbed_images_can_leave_the_running_statistics_alone() -> None:
    layer = nn.BatchNorm2d(2).train()
    before = layer.running_mean.clone()
    images = torch.rand(4, 2, 3, 3) + 5
    with statistics_untouched(layer):
        inside = layer(images)
    assert torch.equal(layer.running_mean, before)
    assert layer.momentum == 0.1
    torch.testing.assert_close(inside, layer(images))
    assert not torch.equal(layer.running_mean, before)


def test_tables_and_pictures_are_written(tmp_path: Path) -> None:
    fit(SHORT, tmp_path)
    tables = {path.stem for path in (tmp_path / "tables").iterdir()}
    assert {"selection", "pool_confidence", "pool_classes"} <= tables
    table = json.loads((tmp_path / "tables" / "selection.json").read_text(encoding="utf-8"))
    assert len(set(map(len, table.values()))) == 1
    assert {"step", "trust", "kept_share", "pool_agreement", "kept_0"} <= set(table)
    assert (tmp_path / "pictures" / "pool.png").is_file()


def test_a_teacher_without_such_an_end_is_refused() -> None:
    teacher = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3)).eval()
    _, student = networks()
    with Run(device="cpu") as run, pytest.raises(InputError, match="must end in a feature map"):
        SHORT.fit(teacher, student, pool=pool(), image_size=SIZE, num_classes=3, run=run)


def distil(folder: Path | None = None, **options: object) -> tuple[nn.Module, object]:
    teacher, student = networks()
    return bequest.distill(
        teacher,
        student,
        **{
            "image_size": SIZE,
            "num_classes": 3,
            "mean": (0.3,),
            "std": (0.4,),
            "method": SHORT,
            "progress": False,
            "device": "cpu",
            "precision": "fp32",
            "folder": folder,
            "pool": pool(),
            **options,
        },
    )


def test_distill_gives_a_network_that_can_be_built_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ours, result = distil(folder, config={"teacher": "t", "student": "convnet4", **RECORD})
    assert isinstance(ours, SharedHeadStudent)
    assert not ours.training
    assert result.metrics["pool_images"] == 200
    assert result.metrics["pool_skipped"] == 0
    images = torch.rand(4, *SIZE)
    again, _ = load_student(folder)
    torch.testing.assert_close(again(images), ours(images))
    normalized, _ = load_student(folder, normalized=True)
    torch.testing.assert_close(normalized(images), Normalized(ours, (0.3,), (0.4,))(images))
    exported = torch.export.load(export(folder, format="torch-export")).module()
    torch.testing.assert_close(exported(images), ours(images), rtol=1e-4, atol=1e-5)


RECORD = {"image_size": list(SIZE), "num_classes": 3, "mean": [0.3], "std": [0.4]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": None}, "kd3 learns from unlabelled images"),
        ({"method": "ssd-kd"}, "ssd-kd takes no pool"),
        ({"pool": pool(3)}, "at least 64"),
        ({"pool": pool().float()}, "uint8"),
        ({"pool": "digitz"}, "Did you mean digits"),
    ],
)
def test_distill_refuses_before_any_work(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        distil(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_distill_takes_the_name_of_a_data_set() -> None:
    _, result = distil(pool="digits", method=change(SHORT, steps=1))
    assert result.metrics["pool_images"] == 1347
