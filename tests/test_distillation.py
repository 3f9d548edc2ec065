"""The main job from Python: what goes in, what is refused, what comes out."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import bequest
from bequest.data import load
from bequest.errors import InputError
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.methods.data_free.ssd_kd import SSDKD
from bequest.nn import zoo
from bequest.testing import fingerprint

QUICK = SSDKD(
    buffer_size=64,
    rounds=4,
    student_steps=3,
    batch_size=16,
    synthesis_batch=32,
    latent_dim=8,
    generator_width=4,
    inversion_steps=2,
    crop_padding=1,
    flip=False,
)
SHAPE = {"image_size": (1, 8, 8), "num_classes": 10}
NORMAL = {"mean": (0.3,), "std": (0.4,)}
OPTIONS = {"method": QUICK, "progress": False, "device": "cpu", "precision": "fp32"}


@pytest.fixture
def teacher() -> nn.Module:
    torch.manual_seed(0)
    network = zoo.build("convnet4", num_classes=10, in_channels=1).train()
    for _ in range(3):
        network(torch.randn(64, 1, 8, 8))
    return network.eval()


@pytest.fixture
def student() -> nn.Module:
    torch.manual_seed(1)
    return zoo.build("convnet4", num_classes=10, in_channels=1)


def test_a_student_comes_out(teacher: nn.Module, student: nn.Module, tmp_path: Path) -> None:
    before, teacher_before = fingerprint(student), fingerprint(teacher)
    ours, result = bequest.distill(
        teacher, student, **SHAPE, **NORMAL, **OPTIONS, folder=tmp_path, evaluate=load("digits")
    )
    assert ours is student
    assert not ours.training
    assert fingerprint(student) != before
    assert fingerprint(teacher) == teacher_before
    assert all(p.requires_grad for p in teacher.parameters())
    assert {"agreement", "accuracy"} <= set(result.metrics)
    assert all(0 <= result.metrics[name] <= 100 for name in ("agreement", "accuracy"))
    assert set(json.loads((tmp_path / "result.json").read_text())["metrics"]) == set(result.metrics)
    # The weights are those of the bare network, without the normalisation around it.
    fresh = bequest.load("convnet4", num_classes=10, in_channels=1).eval()
    from bequest.nn.weights import load_weights

    load_weights(fresh, tmp_path / "model.safetensors")
    assert fingerprint(fresh) == fingerprint(student)


def test_normalisation_reaches_both_networks(teacher: nn.Module, student: nn.Module) -> None:
    other = copy.deepcopy(student)
    one, _ = bequest.distill(teacher, student, **SHAPE, **NORMAL, **OPTIONS)
    two, _ = bequest.distill(teacher, other, **SHAPE, mean=(0.0,), std=(1.0,), **OPTIONS)
    assert fingerprint(one) != fingerprint(two)


def test_without_normalisation_it_says_what_it_assumes(
    teacher: nn.Module, student: nn.Module
) -> None:
    with pytest.warns(UserWarning, match=r"enter the teacher as they are"):
        bequest.distill(teacher, student, **SHAPE, **OPTIONS)


def refuses(message: str, teacher: nn.Module, student: nn.Module, **changes: object) -> None:
    arguments = {**SHAPE, **NORMAL, **OPTIONS, **changes}
    before = fingerprint(student)
    with pytest.raises(InputError, match=message):
        bequest.distill(teacher, student, **arguments)
    assert fingerprint(student) == before


def test_other_class_counts_and_sizes_are_refused(teacher: nn.Module, student: nn.Module) -> None:
    refuses("teacher.*10|10.*teacher", teacher, student, num_classes=7)
    refuses("teacher", teacher, student, image_size=(3, 8, 8), mean=(0.0,) * 3, std=(1.0,) * 3)
    wide = zoo.build("convnet4", num_classes=11, in_channels=1)
    refuses("student", teacher, wide)


def test_nan_weights_are_refused_by_name(teacher: nn.Module, student: nn.Module) -> None:
    name, parameter = next(iter(teacher.named_parameters()))
    with torch.no_grad():
        parameter.view(-1)[0] = float("nan")
    refuses(name.replace(".", r"\."), teacher, student)


def test_a_teacher_without_batch_norm_is_refused(student: nn.Module) -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    refuses("BatchNorm", plain, student)


def test_other_refusals(teacher: nn.Module, student: nn.Module) -> None:
    refuses("same object", student, student)
    refuses("together", teacher, student, std=None)
    refuses("Did you mean ssd-kd", teacher, student, method="ssdkd")
    refuses("real images", teacher, student, method=RealDataKD())
    refuses("is no method", teacher, student, method=3)
    refuses("evaluate", teacher, student, image_size=(1, 12, 12), evaluate=load("digits"))


def test_methods_by_id_class_and_instance() -> None:
    from bequest.distillation import as_method

    assert as_method("ssd-kd") == as_method(SSDKD) == as_method(SSDKD()) == SSDKD()
