"""The command that repeats a run: the command line itself understands it, and does the same."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Any

import pytest

from bequest.cli.command import parse
from bequest.cli.distill import Distill
from bequest.cli.distill_job import DistillJob
from bequest.cli.run import RunStudy
from bequest.execute import Job
from bequest.report.repeat import repeat_run
from bequest.run import Budget


def words_of(command: str | None, name: str) -> list[str]:
    assert command is not None
    words = shlex.split(command)
    assert words[:2] == ["bequest", name]
    return words[2:]


@pytest.mark.parametrize(
    "job",
    [
        Job(method="ssd-kd", arm="ssd-kd"),
        Job(
            method="fast",
            arm="no-adversary",
            size="smoke",
            fields={"rounds": 7, "flip": True, "learning_rate": 1e-05},
            seed=11,
            device="cpu",
            precision="fp32",
            threads=2,
        ),
    ],
)
def test_of_a_run(job: Job) -> None:
    config = {"command": "run", **asdict(job), "resolved": {}}
    words = words_of(repeat_run(config, {}), "run")
    assert parse("run", RunStudy, words).job() == job


def test_precision_is_the_one_that_was_used() -> None:
    config = {"command": "run", **asdict(Job(method="ssd-kd")), "resolved": {}}
    words = words_of(repeat_run(config, {"precision": "bf16"}), "run")
    assert words[words.index("--precision") + 1] == "bf16"
    assert "--arm" not in words
    assert "--device" not in words


def test_of_a_distillation() -> None:
    job = DistillJob(
        teacher="resnet56",
        student="resnet20",
        image_size=(3, 32, 32),
        num_classes=10,
        mean=(0.5, 0.25, 0.125),
        std=(0.2, 0.3, 0.4),
        teacher_weights="/some where/teacher.safetensors",
        pretrained=False,
        method="fast",
        fields={"rounds": 3},
        evaluate="cifar10",
        seed=4,
        budget=Budget(steps=100, flops=1e12),
    )
    config: dict[str, Any] = {"command": "distill", **asdict(job), "resolved": {"rounds": 3}}
    words = words_of(repeat_run(config, {"precision": "fp32"}), "distill")
    found = parse("distill", Distill, words).job()
    assert asdict(found) == {**asdict(job), "precision": "fp32"}


@pytest.mark.parametrize(
    "config",
    [{}, {"command": "distill", "method": "ssd-kd"}, {"command": "run"}, {"command": "other"}],
)
def test_what_no_command_repeats(config: dict[str, Any]) -> None:
    assert repeat_run(config, {}) is None
