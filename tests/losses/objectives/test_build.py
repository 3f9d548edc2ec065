"""Every objective by its name: it fits two networks, teaches the one and leaves the other alone."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.losses.objectives.build import Settings, build
from bequest.losses.objectives.catalog import OBJECTIVES, find
from bequest.ops.outputs import Outputs

IDS = [id for id in OBJECTIVES if id != "none"]
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
PLACES = torch.arange(6)


def outputs(*, channels: tuple[int, ...], seed: int, classes: int = 3, size: int = 8) -> Outputs:
    rng = torch.Generator().manual_seed(seed)
    maps = tuple(
        torch.randn((6, c, size // 2**i, size // 2**i), generator=rng).requires_grad_()
        for i, c in enumerate(channels)
    )
    logits = torch.randn((6, classes), generator=rng).requires_grad_()
    features = torch.randn((6, channels[-1]), generator=rng).requires_grad_()
    return Outputs(logits, features, maps)


def pair(objective: str) -> tuple[Outputs, Outputs]:
    # SimKD's projector is a part of the student: maps are of one shape already.
    channels = (4, 8, 16) if objective == "simkd" else (2, 4, 6)
    return outputs(channels=channels, seed=0), outputs(channels=(4, 8, 16), seed=1)


@pytest.mark.parametrize("objective", IDS)
def test_gradients_reach_the_student_and_what_is_learnt_alone(objective: str) -> None:
    student, teacher = pair(objective)
    fitted = build(
        objective,
        student=student,
        teacher=teacher,
        labels=LABELS,
        settings=Settings(negatives=8),
    )
    loss = fitted(student, teacher, labels=LABELS, places=PLACES)
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    reached = [t for t in student.tensors() if t.grad is not None and t.grad.abs().sum() > 0]
    needs = {"logits": student.logits, "features": student.features, "maps": student.maps[-1]}
    expected = student.maps[1] if objective == "fitnets" else needs[OBJECTIVES[objective].needs]
    assert any(t is expected for t in reached)
    assert all(t.grad is None for t in teacher.tensors())
    assert all(p.grad is not None for p in fitted.parameters())


@pytest.mark.parametrize("objective", IDS)
def test_a_copy_learns_by_itself(objective: str) -> None:
    student, teacher = pair(objective)
    given = {"student": student, "teacher": teacher, "labels": LABELS}
    fitted = build(objective, **given, settings=Settings(negatives=8))
    other = copy.deepcopy(fitted)
    other(student, teacher, labels=LABELS, places=PLACES).backward()
    assert all(p.grad is None for p in fitted.parameters())


def test_settings_reach_the_objective() -> None:
    student, teacher = pair("dkd")

    def loss(objective: str, **settings: float) -> Tensor:
        fitted = build(objective, student=student, teacher=teacher, settings=Settings(**settings))
        return fitted(student, teacher, labels=LABELS)

    assert loss("dkd", beta=1.0) < loss("dkd", beta=2.0)
    assert loss("kd", temperature=1.0) != loss("kd")
    assert loss("kd") == loss("kd", temperature=4.0)


def test_what_does_not_fit_is_refused() -> None:
    student, teacher = pair("kd")
    other = outputs(channels=(4, 8, 16), seed=1, classes=5)
    with pytest.raises(InputError, match="3 classes, the teacher 5"):
        build("kd", student=student, teacher=other)
    seven = outputs(channels=(4, 8, 16), seed=1, size=12)
    with pytest.raises(InputError, match=r"\(6, 2, 8, 8\).*\(6, 4, 12, 12\)"):
        build("vid", student=student, teacher=seven)
    with pytest.raises(InputError, match=r"\(6, 6, 2, 2\).*\(6, 16, 2, 2\)"):
        build("simkd", student=student, teacher=teacher)
    with pytest.raises(InputError, match="input of the last linear layer"):
        build("rkd", student=student._replace(features=None), teacher=teacher)
    with pytest.raises(InputError, match="labels of all samples"):
        build("crd", student=student, teacher=teacher)
    with pytest.raises(InputError, match="needs labels"):
        build("dkd", student=student, teacher=teacher)(student, teacher)
    with pytest.raises(InputError, match="Did you mean dkd"):
        find("dkdd")
    with pytest.raises(InputError, match="compares nothing"):
        build("none", student=student, teacher=teacher)


@pytest.mark.parametrize("row", OBJECTIVES.values(), ids=lambda row: row.id)
def test_every_row_says_where_it_comes_from(row) -> None:
    assert len(row.source) > 10
    assert row.id == "none" or row.paper[-4:].isdigit() or "arXiv" in row.paper
    assert (row.taps == "none") == (row.needs != "maps")
    assert (row.temperature is not None) == (row.needs == "logits")


def test_the_table_needs_no_torch() -> None:
    code = "import sys; import bequest.losses.objectives.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
