"""`bequest distill --data`: the same command with data, and what contradicts it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from command_line import Shell
from safetensors.torch import load_file

import bequest
from bequest import data
from bequest.cli.command import parse
from bequest.cli.distill import Distill
from bequest.errors import InputError
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.nn import zoo
from bequest.nn.weights import save_weights
from bequest.report.repeat import repeat_run


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    for number in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            teacher = zoo.build("convnet8", num_classes=10, in_channels=1)
        save_weights(teacher, tmp_path / f"teacher{number}.safetensors")
    text = (
        "distill --data digits --objective dkd --teacher convnet8 "
        "--teacher-weights teacher1.safetensors --student convnet4 --mean 0.3 --std 0.4 "
        "--threads 1 --precision fp32 --steps 4 --batch-size 32 --flip false --crop-padding 1"
    )
    return text.split()


def test_a_run_with_data_is_told_recorded_and_repeated(
    shell: Shell, words: list[str], tmp_path: Path
) -> None:
    answer = shell(*words, "--folder", "here")
    assert answer.status == 0, answer.err
    assert "accuracy" in answer.out  # on the test images of the data
    config = yaml.safe_load((tmp_path / "here" / "config.yaml").read_text(encoding="utf-8"))
    assert (config["method"], config["data"]) == ("kd", "digits")
    assert (config["image_size"], config["num_classes"]) == ([1, 8, 8], 10)
    assert config["resolved"]["objective"] == "dkd"
    saved = load_file(tmp_path / "here" / "model.safetensors")
    assert set(saved) == set(zoo.build("convnet4", num_classes=10, in_channels=1).state_dict())
    command = repeat_run(config, {"precision": "fp32"})
    assert command is not None
    again = parse("distill", Distill, command.split()[2:])
    assert isinstance(again, Distill)
    assert (again.chosen, again.data) == ("kd", "digits")


def test_several_teachers(shell: Shell, words: list[str], tmp_path: Path) -> None:
    more = ("--more-teachers", "convnet8=teacher2.safetensors", "--folder", "here")
    answer = shell(*words, *more, "--json")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["metrics"]["teacher_images"] == 2 * 4 * 32
    config = yaml.safe_load((tmp_path / "here" / "config.yaml").read_text(encoding="utf-8"))
    assert config["more_teachers"] == [f"convnet8={tmp_path / 'teacher2.safetensors'}"]
    command = repeat_run(config, {})
    assert command is not None
    assert "--more-teachers" in command


def test_resume_ends_in_the_same_student(
    shell: Shell, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell(*words, "--folder", "whole").status == 0

    def die(self, *arguments, **options):
        for step in original(self, *arguments, **options):
            if step == 2:
                raise RuntimeError("as if killed")
            yield step

    from bequest.run import Run

    original = Run.steps
    with monkeypatch.context() as patched:
        patched.setattr(Run, "steps", die)
        assert shell(*words, "--folder", "killed", "--checkpoint-seconds", "0").status == 70
    resumed = shell("resume", "killed")
    assert resumed.status == 0, resumed.err
    whole, other = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "killed"))
    assert all(torch.equal(whole[name], other[name]) for name in whole)


def without(words: list[str], option: str) -> list[str]:
    place = words.index(option)
    return [*words[:place], *words[place + 2 :]]


@pytest.mark.parametrize(
    ("less", "more", "message"),
    [
        ("--data", "", "--objective compares networks on real images"),
        ("--objective", "--objective dkdd", "none of kd, dkd"),
        ("--objective", "--method ssd-kd --steps 4", "Unrecognized|unrecognized"),
        ("--objective", "--method real-data-kd --objective dkd", "nrecognized"),
        ("--data", "--data digit", "Did you mean digits"),
        ("", "--image-size 1x9x9", "image_size is (1, 9, 9), but 'digits' has (1, 8, 8)"),
        ("", "--num-classes 7", "num_classes is 7, but 'digits' has 10"),
        ("", "--more-teachers =x", "NETWORK=WEIGHTS"),
        ("", "--more-teachers convnet8", "would be untrained"),
        ("", "--pool digits", "takes no pool"),
    ],
)
def test_what_contradicts_itself_is_refused(
    shell: Shell, words: list[str], tmp_path: Path, less: str, more: str, message: str
) -> None:
    left = without(words, less) if less else words
    answer = shell(*left, *more.split(), "--folder", "here")
    assert answer.status == 64
    text = " ".join((answer.err + answer.out).split())
    assert any(part in text for part in message.split("|")), text
    assert not (tmp_path / "here").exists()


def test_data_and_a_method_without_are_refused(shell: Shell, tmp_path: Path, words) -> None:
    for extra, message in (
        ("--method ssd-kd --data digits", "ssd-kd works without data"),
        ("--method real-data-kd --image-size 1x8x8 --num-classes 10", "give data"),
        ("--method uniform-noise", "--image-size"),
        ("--image-size 1x8x8 --num-classes 10 --more-teachers a=b", "goes with --data"),
    ):
        networks = "distill --teacher convnet8 --teacher-weights teacher1.safetensors --student "
        answer = shell(*f"{networks} convnet4 --mean 0.3 --std 0.4 {extra}".split())
        assert answer.status == 64
        assert message in " ".join(answer.err.split())


def test_from_python_in_one_call() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        teacher, student = (zoo.build(n, num_classes=10, in_channels=1) for n in ("convnet8",) * 2)
    digits = data.load("digits")
    given = {"mean": digits.mean, "std": digits.std, "progress": False, "device": "cpu"}
    budget = bequest.distillation.Budget(steps=2)
    _, result = bequest.distill(
        teacher, student, data="digits", objective="rkd", budget=budget, **given
    )
    assert result.metrics["teacher_images"] == 128
    assert "accuracy" in result.metrics
    # A method that needs images but no labels takes them from the data too.
    real = RealDataKD(steps=1, batch_size=8)
    bequest.distill(teacher, student, data=digits, method=real, **given)
    with pytest.raises(InputError, match="has no objective"):
        bequest.distill(teacher, student, data=digits, method=real, objective="kd", **given)
    with pytest.raises(InputError, match="one teacher, not 2"):
        bequest.distill([teacher, teacher], student, data=digits, method=real, **given)
    with pytest.raises(InputError, match="must be given"):
        bequest.distill(teacher, student, **given)
    with pytest.raises(InputError, match="Did you mean reviewkd"):
        bequest.distill(teacher, student, data=digits, objective="reviewk", **given)
