"""`bequest distill`: networks by name, normalisation, resume; with the cheapest method there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from command_line import Shell
from safetensors.torch import load_file

from bequest.cli.command import parse
from bequest.cli.distill import Distill
from bequest.cli.distill_job import DistillJob, job_of_config, load_teacher, own_normalization
from bequest.errors import InputError
from bequest.methods.data_free.uniform_noise import UniformNoise
from bequest.nn import zoo
from bequest.nn.weights import save_weights

_NETWORKS = """
from torch import nn


def timm_like(num_classes, in_channels):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))
    network.pretrained_cfg = {"mean": (0.25,), "std": (0.5,)}
    return network
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A teacher for digits with weights drawn at random, a student, and a short run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        teacher = zoo.build("convnet8", num_classes=10, in_channels=1)
    save_weights(teacher, tmp_path / "teacher.safetensors")
    text = (
        "distill --teacher convnet8 --teacher-weights teacher.safetensors --student convnet8 "
        "--image-size 1x8x8 --num-classes 10 --mean 0.3 --std 0.4 --threads 1 --precision fp32 "
        "--method uniform-noise --steps 6 --batch-size 8"
    )
    return text.split()


def replaced(words: list[str], **options: str | None) -> list[str]:
    """With other values for some options; None leaves the option out."""
    result = list(words)
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        place = result.index(option) if option in result else len(result)
        result[place : place + 2] = [] if value is None else [option, value]
    return result


def test_a_run_is_told_and_recorded(shell: Shell, words: list[str], tmp_path: Path) -> None:
    answer = shell(*words, "--evaluate", "digits", "--folder", "here")
    assert answer.status == 0, answer.err
    assert "accuracy" in answer.out
    assert "distillation time" in answer.out
    assert "Report: here/report.html" in answer.out
    config = yaml.safe_load((tmp_path / "here" / "config.yaml").read_text(encoding="utf-8"))
    assert config["command"] == "distill"
    assert config["teacher_weights"] == str(tmp_path / "teacher.safetensors")
    assert (config["mean"], config["std"]) == ([0.3], [0.4])
    assert config["fields"] == {"steps": 6, "batch_size": 8}
    assert (config["threads"], config["evaluate"]) == (1, "digits")
    # The student answers to its own names, as it was built.
    saved = load_file(tmp_path / "here" / "model.safetensors")
    student = zoo.build("convnet8", num_classes=10, in_channels=1)
    assert set(saved) == set(student.state_dict())


def test_the_same_words_give_the_same_student_whatever_was_drawn_before(
    shell: Shell, words: list[str], tmp_path: Path
) -> None:
    students = []
    for number, seed in enumerate(("4", "4", "5")):
        torch.rand(number + 1)
        assert shell(*words, "--seed", seed, "--folder", f"r{number}").status == 0
        students.append(load_file(tmp_path / f"r{number}" / "model.safetensors"))
    assert all(torch.equal(students[0][name], students[1][name]) for name in students[0])
    assert not all(torch.equal(students[0][name], students[2][name]) for name in students[0])


def test_resume_ends_in_the_weights_of_a_run_that_was_never_stopped(
    shell: Shell,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shell(*words, "--folder", "whole").status == 0

    def die(self, *arguments, **options):
        for step in original(self, *arguments, **options):
            if step == 4:
                raise RuntimeError("as if killed")
            yield step

    from bequest.run import Run

    original = Run.steps
    with monkeypatch.context() as patched:
        patched.setattr(Run, "steps", die)
        killed = shell(*words, "--folder", "killed", "--checkpoint-seconds", "0")
        assert killed.status == 70
    monkeypatch.chdir(tmp_path.parent)
    resumed = shell("resume", str(tmp_path / "killed"), "--json")
    assert resumed.status == 0, resumed.err
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    other = load_file(tmp_path / "killed" / "model.safetensors")
    assert all(torch.equal(whole[name], other[name]) for name in whole)
    assert (
        json.loads(resumed.out)["metrics"]
        == json.loads((tmp_path / "whole" / "result.json").read_text(encoding="utf-8"))["metrics"]
    )


def test_budget_ends_a_run_early(shell: Shell, words: list[str], tmp_path: Path) -> None:
    assert shell(*words, "--budget-steps", "2", "--folder", "here").status == 0
    rows = (tmp_path / "here" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [row["step"] for row in map(json.loads, rows) if row["phase"] == "distillation"]
    assert max(steps) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher_weights": None}, "'convnet8' would be untrained"),
        ({"teacher_weights": "no.safetensors"}, "There is no weights file"),
        ({"teacher": "convnet9"}, "Did you mean convnet8"),
        ({"student": "mobilenet_v3"}, "Did you mean mobilenet_v2"),
        ({"image_size": "8x8"}, "such as 3x32x32"),
        ({"image_size": "1x0x8"}, "such as 3x32x32"),
        ({"num_classes": "11"}, "of another shape"),
        ({"mean": None, "std": None}, "--normalize NAME"),
        ({"evaluate": "digit"}, "Did you mean digits"),
        ({"evaluate": "mnist5k"}, "28"),
        ({"batch_size": "0"}, "greater than or equal to 1"),
        ({"budget_seconds": "0"}, "must be above 0"),
        ({"method": "real-data-kd"}, "trains on real images"),
    ],
)
def test_nothing_is_begun_with_what_does_not_fit(
    shell: Shell,
    words: list[str],
    tmp_path: Path,
    changes: dict[str, str | None],
    message: str,
) -> None:
    answer = shell(*replaced(words, **changes), "--folder", "here")
    assert answer.status == 64
    assert message in answer.err
    assert not (tmp_path / "here").exists()


def test_normalize_own_takes_what_the_network_says(
    shell: Shell, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "my_networks.py").write_text(_NETWORKS, encoding="utf-8")
    changes = {"teacher": "my_networks:timm_like", "teacher_weights": None}
    own = replaced(words, **changes, mean=None, std=None, normalize="own")
    assert shell(*own, "--folder", "here").status == 0
    config = yaml.safe_load((tmp_path / "here" / "config.yaml").read_text(encoding="utf-8"))
    assert (config["mean"], config["std"]) == ([0.25], [0.5])
    silent = replaced(words, mean=None, std=None, normalize="own")
    refused = shell(*silent, "--folder", "there")
    assert refused.status == 64
    assert "does not say how its images are normalised" in refused.err


def test_pretrained_takes_our_public_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    job = DistillJob(teacher="resnet20", student="resnet8", image_size=(3, 32, 32), num_classes=10)
    with pytest.raises(InputError, match="would be untrained"):
        load_teacher(job)
    network = torch.nn.Identity()
    monkeypatch.setattr("bequest.data.public_network", lambda name: network)
    public = DistillJob(
        teacher="resnet20", student="s", image_size=(3, 32, 32), num_classes=10, pretrained=True
    )
    assert load_teacher(public) is network
    assert own_normalization(network, public)[0] == (0.485, 0.456, 0.406)


def test_a_job_is_read_back_from_its_record(words: list[str]) -> None:
    command = parse("distill", Distill, [*words[1:], "--budget-flops", "1e9"])
    assert isinstance(command, Distill)
    job = command.job()
    resolved = {"steps": 6, "batch_size": 8, "flip": False}
    as_yaml = {
        **json.loads(json.dumps(job, default=vars)),
        "command": "distill",
        "resolved": resolved,
    }
    read = job_of_config(as_yaml)
    assert read.budget == job.budget
    assert read.image_size == (1, 8, 8)
    # All hyper-parameters as they were, also those that were defaults then.
    assert read.fields == resolved
    assert UniformNoise(**read.fields).steps == 6
