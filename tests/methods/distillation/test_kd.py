"""Distillation with data: its loss by hand, views and cache, several teachers, what is refused."""

from __future__ import annotations

import copy
import json
import math
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.distillation import kl_divergence
from bequest.losses.objectives.catalog import OBJECTIVES
from bequest.memory.labelled import LabelledImages
from bequest.methods.base import change
from bequest.methods.distillation.kd import Distillation, Lesson
from bequest.nn import zoo
from bequest.nn.modes import frozen
from bequest.nn.normalize import Normalized
from bequest.nn.shared_head import SharedHeadStudent
from bequest.ops.outputs import Outputs
from bequest.run import Budget, Run
from bequest.synthesis.taught import Taught, Views
from bequest.testing import fingerprint

SIZE = (1, 8, 8)
COUNT = 60
SHORT = Distillation(
    steps=8, batch_size=20, crop_padding=1, flip=False, schedule="cosine", negatives=16
)


def images() -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (COUNT, *SIZE), generator=rng, dtype=torch.uint8)


LABELS = torch.arange(COUNT) % 3


def network(name: str = "convnet4", seed: int = 0, classes: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Normalized(zoo.build(name, num_classes=classes, in_channels=1), (0.5,), (0.25,))


def fit(
    method: Distillation,
    *,
    teacher: Any = None,
    student: nn.Module | None = None,
    seed: int = 0,
    labels: Tensor = LABELS,
    **options: Any,
) -> Any:
    with Run(device="cpu", precision="fp32", seed=seed, **options) as run:
        return method.fit(
            network("convnet8", 1) if teacher is None else teacher,
            student or network(),
            images=images(),
            labels=labels,
            image_size=SIZE,
            num_classes=3,
            run=run,
        )


def test_the_choices_are_the_rows_of_the_table() -> None:
    choices = typing.get_args(typing.get_type_hints(Distillation)["objective"])
    assert set(choices) == set(OBJECTIVES)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_every_objective_trains_the_student_and_leaves_the_teacher(objective: str) -> None:
    teacher, student = network("convnet8", 1), network()
    before, start = fingerprint(teacher), fingerprint(student)
    result = fit(change(SHORT, objective=objective, steps=3), teacher=teacher, student=student)
    assert fingerprint(teacher) == before
    assert teacher.training
    assert all(p.grad is None for p in teacher.parameters())
    assert fingerprint(result.model) != start
    assert all(p.isfinite().all() for p in result.model.parameters())


def test_a_step_is_the_weighted_sum_of_its_terms() -> None:
    method = change(SHORT, crop_padding=0, weight=0.7, cross_entropy=0.4, momentum=0.0)
    method = change(method, weight_decay=0.0, learning_rate=0.1)
    teacher, student = network("convnet8", 1), network()
    expected = copy.deepcopy(student).train()
    places = torch.tensor([3, 50, 7, 21])
    with Run(device="cpu", precision="fp32") as run, frozen(teacher):
        given = {"image_size": SIZE, "num_classes": 3}
        data = LabelledImages(images(), LABELS, **given, device=run.device)
        lesson = Lesson([teacher], student, data, method, run, **given)
        lesson.step(places, epoch=0)
    batch = images()[places].float() / 255
    answer = expected(batch)
    with torch.no_grad(), frozen(teacher):
        target = teacher(batch)
    loss = 0.4 * F.cross_entropy(answer, LABELS[places])
    loss = loss + 0.7 * kl_divergence(answer, target, temperature=4.0).mean()
    loss.backward()
    for ours, theirs in zip(student.parameters(), expected.parameters()):
        assert torch.allclose(ours, theirs - 0.1 * theirs.grad, atol=1e-5)


def test_published_weights_hold_unless_others_are_given() -> None:
    with Run(device="cpu", precision="fp32") as run, frozen(teacher := network("convnet8", 1)):
        given = {"image_size": SIZE, "num_classes": 3}
        data = LabelledImages(images(), LABELS, **given, device=run.device)
        made = [
            Lesson([teacher], network(), data, change(SHORT, **fields), run, **given)
            for fields in ({}, {"objective": "crd"}, {"weight": 5.0, "warmup": 0.5})
        ]
    assert [(m.weight, m.cross_entropy, m.warmup) for m in made] == [
        (0.9, 0.1, 0.0),
        (0.8, 1.0, 0.0),
        (5.0, 0.1, 0.5),
    ]


@pytest.mark.parametrize("teacher_view", ["same", "plain", "own"])
def test_the_cache_changes_no_bit_and_spares_the_teacher(teacher_view: str) -> None:
    repeated = change(SHORT, augmentations=2, teacher_view=teacher_view, steps=13)
    kept, asked = (fit(change(repeated, cache=cache)) for cache in (True, False))
    views = 1 if teacher_view == "plain" else 2
    # Nothing but the batches in which the teacher computes differs.
    for a, b in zip(kept.model.parameters(), asked.model.parameters()):
        assert torch.allclose(a, b, atol=1e-3)
    assert kept.metrics["teacher_images"] == views * COUNT
    assert asked.metrics["teacher_images"] == 13 * 20


@pytest.mark.parametrize(
    ("fields", "views", "kept"),
    [
        ({}, None, False),  # new cuts in each epoch
        ({"crop_padding": 0}, 1, True),
        ({"teacher_view": "plain"}, 1, True),
        ({"augmentations": 2}, 2, True),
        ({"augmentations": 2, "cache": False}, 2, False),
        ({"augmentations": 2, "steps": 6}, 2, False),  # none comes again
        ({"augmentations": 2, "cache_megabytes": 1e-4}, 2, False),
    ],
)
def test_outputs_are_kept_where_views_come_again(
    fields: dict[str, Any], views: int | None, kept: bool
) -> None:
    method = change(SHORT, **{"steps": 20, **fields})
    assert Views.of(method).teacher_views == views
    result = fit(method)
    assert (result.metrics["teacher_images"] < method.steps * 20) == kept


def test_what_each_network_sees() -> None:
    seen: list[Tensor] = []
    with Run(device="cpu", precision="fp32") as run:
        data = LabelledImages(images(), LABELS, image_size=SIZE, num_classes=3, device=run.device)
        places = torch.tensor([5, 9])

        def ask(batch: Tensor) -> Outputs:
            seen.append(batch)
            return Outputs(torch.zeros(len(batch), 3))

        for view in ("same", "plain", "own"):
            views = Views.of(change(SHORT, teacher_view=view, crop_padding=2))
            cut = views.cut(data, places, 4)
            taught = Taught(ask, data, views, run, example=ask(cut), draws=40)
            taught(places, 4, cut)
    same, plain, own = seen[1::2]
    whole = images()[places].float() / 255
    assert torch.equal(same, cut)
    assert torch.equal(plain, whole)
    assert not torch.equal(own, cut)
    assert not torch.equal(own, whole)


def test_two_equal_teachers_teach_as_one_does() -> None:
    one = fit(SHORT)
    for several in ("each", "average"):
        pair = [network("convnet8", 1), network("convnet8", 1)]
        two = fit(change(SHORT, several=several), teacher=pair)
        for a, b in zip(one.model.parameters(), two.model.parameters()):
            assert torch.allclose(a, b, atol=1e-5)
        assert two.metrics["teacher_images"] == 2 * one.metrics["teacher_images"]


def test_teachers_may_be_of_several_kinds() -> None:
    pair = [network("convnet8", 1), network("convnet16", 2)]
    result = fit(change(SHORT, objective="vid", steps=3), teacher=pair)
    assert all(p.isfinite().all() for p in result.model.parameters())


def test_simkd_gives_the_student_the_teachers_head() -> None:
    teacher = network("convnet8", 1)
    result = fit(change(SHORT, objective="simkd"), teacher=teacher)
    assert isinstance(result.model, Normalized)
    shared = result.model.network
    assert isinstance(shared, SharedHeadStudent)
    assert torch.equal(shared.head.weight, teacher.network.classifier.weight)


def test_the_same_seed_gives_the_same_student() -> None:
    students = [fit(change(SHORT, steps=4), seed=seed).model for seed in (0, 0, 1)]
    prints = [fingerprint(s) for s in students]
    assert prints[0] == prints[1] != prints[2]


def test_taps_may_be_named() -> None:
    taps = change(SHORT, objective="fitnets", steps=2, student_taps="features.2")
    fit(change(taps, teacher_taps="features.2"))
    with pytest.raises(InputError, match=r"\(features.2 8x8\).*\(features.2 8x8, features 2x2\)"):
        fit(change(taps, objective="attention", teacher_taps="features.2, features"))
    with pytest.raises(InputError, match="Did you mean"):
        fit(change(taps, teacher_taps="feature"))


def test_warmup_raises_the_weight(tmp_path: Path) -> None:
    method = change(SHORT, objective="dkd", warmup=0.5, steps=8, cross_entropy=1.0)
    fit(method, folder=tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    terms = [row["dkd"] for row in map(json.loads, lines) if "dkd" in row]
    assert terms[0] == 0
    assert terms[1] > 0


@pytest.mark.parametrize(
    ("fields", "arguments", "message"),
    [
        ({}, {"labels": torch.zeros(COUNT, dtype=torch.int64)}, "No image is of class 1, 2"),
        ({}, {"labels": LABELS + 1}, "Labels go from 1 to 3"),
        ({}, {"teacher": []}, "no teacher"),
        ({}, {"student": network(classes=4)}, "student has 4 classes, the data 3"),
        ({}, {"teacher": network(classes=4)}, "teacher has 4 classes, the data 3"),
        ({"objective": "simkd"}, {"teacher": [network(), network()]}, "one teacher"),
        ({"objective": "vid", "several": "average"}, {}, "take 'each'"),
        ({"teacher_taps": "features"}, {}, "KD takes no taps"),
        ({"weight": 0.0, "cross_entropy": 0.0}, {}, "nothing to learn"),
        ({"objective": "vid"}, {"student": nn.Sequential(nn.Flatten(), nn.Linear(64, 3))}, "maps"),
    ],
)
def test_nothing_is_begun_with_what_does_not_fit(
    fields: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fit(change(SHORT, **fields), **arguments)


def test_labels_alone_ask_no_teacher() -> None:
    result = fit(change(SHORT, objective="none"), teacher=[])
    assert result.metrics["teacher_images"] == 0


def test_a_budget_ends_it_early() -> None:
    result = fit(change(SHORT, steps=100), budget=Budget(steps=3))
    assert result.metrics["teacher_images"] == 60
    assert math.isfinite(sum(p.sum().item() for p in result.model.parameters()))
