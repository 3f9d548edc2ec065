"""PCKD: its loss by hand, its weights and views, what the teacher is asked, what is refused."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.distillation import kl_divergence
from bequest.memory.labelled import LabelledImages
from bequest.methods.base import change
from bequest.methods.distillation.pckd import PCKD, Lesson
from bequest.nn import zoo
from bequest.nn.modes import frozen
from bequest.nn.normalize import Normalized
from bequest.nn.watch import Watch
from bequest.ops.outputs import Outputs
from bequest.run import Run
from bequest.testing import fingerprint

SIZE = (1, 8, 8)
COUNT = 60
LABELS = torch.arange(COUNT) % 3
SHORT = PCKD(steps=6, batch_size=20, crop_padding=1, flip=False, schedule="cosine")
STILL = change(SHORT, steps=600, crop_padding=0, momentum=0.0, weight_decay=0.0, learning_rate=0.1)


def images(size: tuple[int, int, int] = SIZE) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (COUNT, *size), generator=rng, dtype=torch.uint8)


def network(name: str = "convnet4", seed: int = 0, classes: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Normalized(zoo.build(name, num_classes=classes, in_channels=1), (0.5,), (0.25,))


def fit(
    method: PCKD,
    *,
    teacher: nn.Module | None = None,
    student: nn.Module | None = None,
    size: tuple[int, int, int] = SIZE,
    labels: Tensor = LABELS,
    **options: Any,
) -> Any:
    with Run(device="cpu", precision="fp32", **options) as run:
        return method.fit(
            teacher or network("convnet8", 1),
            student or network(),
            images=images(size),
            labels=labels,
            image_size=size,
            num_classes=3,
            run=run,
        )


def lesson(
    method: PCKD, run: Run, *, teacher: nn.Module | None = None, student: nn.Module | None = None
) -> Lesson:
    data = LabelledImages(images(), LABELS, image_size=SIZE, num_classes=3, device=run.device)
    taught = (teacher or network("convnet8", 1)).eval()
    return Lesson(taught, student or network(), data, method, run)


def by_hand(lesson: Lesson, student: nn.Module, teacher: nn.Module, places: Tensor) -> Tensor:
    """All five terms as the sheet of the paper writes them, sample by sample, at the first step."""
    m, n = lesson.method, len(places)
    batch = images()[places].float() / 255
    views = torch.stack([batch.rot90(k, (2, 3)) for k in range(4)], dim=1).flatten(0, 1)
    ours = Watch(student, features=True)(views)
    with torch.no_grad(), frozen(teacher):
        theirs = Watch(teacher, features=True)(views)
    upright, wanted, labels = ours.logits[::4], theirs.logits[::4], LABELS[places]
    ce = [-upright[i].log_softmax(0)[labels[i]] for i in range(n)]
    threshold = 3.31 ** (1 / lesson.epochs)
    hardness = [c.item() for c in ce]
    gamma = [c / (sum(hardness) / n) for c in hardness]
    v = [1.0 if g <= threshold else math.exp(-(g**2)) for g in gamma]
    assert min(v) < 1 == max(v)
    kl = kl_divergence(upright, wanted, temperature=4.0)
    own, taught = lesson.heads
    weights = own.weight, taught.weight
    contrast = lesson.learnt["contrast"](ours.features, *weights, labels.repeat_interleave(4))
    cosine = F.cosine_similarity(
        lesson.learnt["alignment"].projector(ours.features), theirs.features
    )
    loss = sum(ce) / n
    loss = loss + m.kd_weight / n * sum(v[i] * kl[i] for i in range(n))
    loss = loss + m.category_weight / (4 * n) * sum(v[j // 4] * contrast[j] for j in range(4 * n))
    return loss + m.feature_weight * (2 - 2 * cosine.mean())


def test_a_step_is_the_weighted_sum_of_its_terms() -> None:
    teacher, student = network("convnet8", 1), network()
    expected = copy.deepcopy(student).train()
    places = torch.tensor([3, 50, 7, 21, 30, 11])
    with Run(device="cpu", precision="fp32") as run, frozen(teacher):
        ours = lesson(STILL, run, teacher=teacher, student=student)
        reference = copy.copy(ours)
        reference.heads = (expected.network.classifier, ours.heads[1])
        reference.learnt = copy.deepcopy(ours.learnt)
        ours.step(places, epoch=0)
    by_hand(reference, expected, teacher, places).backward()
    pairs = [
        *zip(student.parameters(), expected.parameters()),
        *zip(ours.learnt.parameters(), reference.learnt.parameters()),
    ]
    for moved, start in pairs:
        assert start.grad is not None
        assert torch.allclose(moved, start - 0.1 * start.grad, atol=2e-4)


def test_centres_align_where_heads_have_one_shape() -> None:
    teacher = network("convnet4", 1)
    with Run(device="cpu", precision="fp32") as run:
        same = lesson(SHORT, run, teacher=teacher)
        assert same.aligns_centres
        assert not lesson(SHORT, run).aligns_centres
        assert not lesson(change(SHORT, centre_weight=0.0), run, teacher=teacher).aligns_centres
        zero = Outputs(torch.zeros(8, 3), torch.ones(8, 16))
        taught = Outputs(torch.zeros(2, 4, 3), torch.ones(2, 4, 16))
        terms = same.terms(zero, taught, torch.tensor([0, 1]))
        own, theirs = (torch.cat((h.weight, h.bias[:, None]), 1) for h in same.heads)
        assert torch.allclose(terms["centres"], (own - theirs).square().mean())


@pytest.mark.parametrize(
    ("field", "term"),
    [
        ("category_weight", "categories"),
        ("feature_weight", "features"),
        ("kd_weight", "kd"),
    ],
)
def test_each_part_can_be_switched_off(field: str, term: str) -> None:
    seen = Outputs(torch.randn(8, 3), torch.randn(8, 16))
    taught = Outputs(torch.randn(2, 4, 3), torch.randn(2, 4, 32))
    with Run(device="cpu", precision="fp32") as run:
        whole = lesson(SHORT, run).terms(seen, taught, torch.tensor([0, 1]))
        part = lesson(change(SHORT, **{field: 0.0}), run).terms(seen, taught, torch.tensor([0, 1]))
    assert set(whole) - set(part) == {term}


def test_hard_samples_count_less_and_easy_ones_fully() -> None:
    logits = torch.tensor([[5.0, 0, 0], [0, 5.0, 0], [-5.0, 0, 0]]).repeat_interleave(4, 0)
    seen = Outputs(logits, torch.zeros(12, 16))
    taught = Outputs(torch.zeros(3, 4, 3), torch.zeros(3, 4, 32))
    labels = torch.tensor([0, 1, 0])
    divergence = kl_divergence(logits[::4], torch.zeros(3, 3), temperature=4.0)
    hardness = F.cross_entropy(logits[::4], labels, reduction="none")
    gamma = hardness / hardness.mean()
    hard = {
        "preview": math.exp(-(gamma[2] ** 2)),
        "self-paced": 0.0,
        "none": 1.0,
    }
    with Run(device="cpu", precision="fp32") as run:
        for preview, weight in hard.items():
            terms = lesson(change(SHORT, preview=preview), run).terms(seen, taught, labels)
            expected = (divergence[:2].sum() + weight * divergence[2]) / 3
            assert terms["kd"].item() == pytest.approx(expected.item(), rel=1e-5)
        terms = lesson(change(SHORT, preview="focal"), run).terms(seen, taught, labels)
        expected = ((1 - (-hardness).exp()) ** 2 * divergence).mean()
        assert terms["kd"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_first_epoch_is_one_step_of_the_threshold_away_from_the_mean() -> None:
    with Run(device="cpu", precision="fp32") as run:
        first = lesson(SHORT, run)  # of two epochs: the threshold begins at 3.31 ** 0.5
        found = first._weights(torch.tensor([1.0, 1.0, 1.3, 8.0]))
    assert found.tolist() == pytest.approx([1, 1, 1, math.exp(-((8 / 2.825) ** 2))], rel=1e-5)


def test_weights_take_a_gradient_only_where_they_are_told_to() -> None:
    logits = torch.tensor([[4.0, 0, 0], [0, 0.0, 0]]).repeat_interleave(4, 0)
    # The second sample is a hard one, of which the teacher says something else.
    taught = Outputs(logits.view(2, 4, 3) + torch.tensor([0.0, 1, 0]), torch.zeros(2, 4, 32))
    gradients = []
    for detach in (True, False):
        leaf = logits.clone().requires_grad_()
        method = change(SHORT, detach_preview=detach, temperature=1.0)
        with Run(device="cpu", precision="fp32") as run:
            seen = Outputs(leaf, torch.zeros(8, 16))
            terms = lesson(method, run).terms(seen, taught, torch.tensor([0, 1]))
        (gradient,) = torch.autograd.grad(terms["kd"], leaf)
        gradients.append(gradient)
    assert not torch.allclose(gradients[0], gradients[1])


def test_upright_views_alone_are_told_unless_all_are() -> None:
    torch.manual_seed(0)
    seen = Outputs(torch.randn(8, 3), torch.randn(8, 16))
    taught = Outputs(torch.randn(2, 4, 3), torch.randn(2, 4, 32))
    labels = torch.tensor([2, 1])
    plain = change(SHORT, preview="none")
    with Run(device="cpu", precision="fp32") as run:
        upright = lesson(plain, run).terms(seen, taught, labels)
        every = lesson(change(plain, supervised_views="all"), run).terms(seen, taught, labels)
    expected = F.cross_entropy(seen.logits[[0, 4]], labels)
    assert torch.allclose(upright["cross_entropy"], expected)
    expected = F.cross_entropy(seen.logits, labels.repeat_interleave(4))
    assert torch.allclose(every["cross_entropy"], expected)
    expected = kl_divergence(seen.logits, taught.logits.flatten(0, 1), temperature=4.0).mean()
    assert torch.allclose(every["kd"], expected)


@pytest.mark.parametrize("views", ["turned", "upright"])
def test_the_cache_changes_nothing_and_spares_the_teacher(views: str) -> None:
    repeated = change(SHORT, augmentations=2, views=views, steps=10)
    kept, asked = (fit(change(repeated, cache=cache)) for cache in (True, False))
    for a, b in zip(kept.model.parameters(), asked.model.parameters()):
        assert torch.allclose(a, b, atol=2e-3)
    each = 4 if views == "turned" else 1
    assert kept.metrics["teacher_images"] == each * 2 * COUNT
    assert asked.metrics["teacher_images"] == each * 10 * 20


@pytest.mark.parametrize(
    "fields",
    [
        {"contrast": "centre"},
        {"preview": "self-paced"},
        {"preview": "focal"},
        {"detach_preview": False},
        {"views": "upright"},
        {"angle": 15.0},
        {"category_weight": 0.0},
        {"feature_weight": 0.0},
    ],
)
def test_every_choice_trains_the_student_and_leaves_the_teacher(fields: dict[str, Any]) -> None:
    teacher, student = network("convnet8", 1), network()
    before, start = fingerprint(teacher), fingerprint(student)
    result = fit(change(SHORT, steps=2, **fields), teacher=teacher, student=student)
    assert fingerprint(teacher) == before
    assert all(p.grad is None for p in teacher.parameters())
    assert fingerprint(result.model) != start
    assert all(p.isfinite().all() for p in result.model.parameters())
    assert result.metrics["class_spread"] > 0


def test_a_run_leaves_its_report(tmp_path: Path) -> None:
    fit(change(SHORT, steps=4), folder=tmp_path / "run")
    assert (tmp_path / "run" / "pictures" / "relations.png").exists()
    table = json.loads((tmp_path / "run" / "tables" / "difficulty.json").read_text("utf-8"))
    assert sum(table["count"]) == COUNT
    text = (tmp_path / "run" / "metrics.jsonl").read_text("utf-8")
    shares = [row["held_back"] for row in map(json.loads, text.splitlines()) if "held_back" in row]
    assert len(shares) == 4
    assert all(0 <= share < 1 for share in shares)


def test_images_that_are_not_square_turn_by_other_angles() -> None:
    wide = (1, 8, 12)
    with pytest.raises(InputError, match="8x12 cannot make quarter turns"):
        fit(SHORT, size=wide)
    fit(change(SHORT, steps=1, angle=15.0), size=wide)
    fit(change(SHORT, steps=1, views="upright"), size=wide)


@pytest.mark.parametrize(
    ("fields", "arguments", "message"),
    [
        ({"final_threshold": 0.9}, {}, "at least 1"),
        ({"views": "upright", "batch_size": 1}, {}, "two views or more"),
        ({}, {"labels": LABELS % 2}, "No image is of class 2"),
        ({}, {"student": network(classes=4)}, r"student .* not \(2, 3\)"),
        ({}, {"teacher": network(classes=4)}, r"teacher .* not \(2, 3\)"),
        ({}, {"teacher": nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten())}, "no nn.Linear"),
    ],
)
def test_nothing_is_begun_with_what_does_not_fit(
    fields: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fit(change(SHORT, **fields), **arguments)
