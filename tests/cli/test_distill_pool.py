"""`bequest distill --pool`: folders, what is skipped, what is refused, resume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from command_line import Shell
from PIL import Image
from safetensors.torch import load_file

from bequest.nn import zoo
from bequest.nn.weights import save_weights


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A teacher with weights drawn at random, a folder of 80 pictures and a torn one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        save_weights(
            zoo.build("convnet8", num_classes=10, in_channels=1), tmp_path / "teacher.safetensors"
        )
    (tmp_path / "pictures").mkdir()
    draw = np.random.default_rng(0)
    for number in range(80):
        pixels = draw.integers(256, size=(11, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number:02}.png")
    (tmp_path / "pictures" / "torn.png").write_bytes(b"\x89PNG")
    text = (
        "distill --method kd3 --pool pictures --teacher convnet8 --teacher-weights "
        "teacher.safetensors --student convnet4 --image-size 1x8x8 --num-classes 10 --mean 0.3 "
        "--std 0.4 --threads 1 --precision fp32 --steps 4 --batch-size 16 --smallest-crop 0.5"
    )
    return text.split()


def test_a_folder_teaches_and_its_damage_is_counted(
    shell: Shell, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = shell(*words, "--folder", "here")
    assert answer.status == 0, answer.err
    config = yaml.safe_load((tmp_path / "here" / "config.yaml").read_text(encoding="utf-8"))
    assert config["pool"] == str(tmp_path / "pictures")
    metrics = json.loads((tmp_path / "here" / "result.json").read_text(encoding="utf-8"))["metrics"]
    assert (metrics["pool_images"], metrics["pool_skipped"]) == (80, 1)
    saved = load_file(tmp_path / "here" / "model.safetensors")
    assert "projector.0.weight" in saved
    assert "head.weight" in saved
    exported = shell("export", "here", "--format", "safetensors")
    assert exported.status == 0, exported.err
    # From another folder, a finished run is known as such.
    monkeypatch.chdir(tmp_path.parent)
    assert shell("resume", str(tmp_path / "here"), "--json").status == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--pool": None}, "--pool FOLDER"),
        ({"--pool": "nowhere/at/all"}, "There is no folder"),
        ({"--method": "ssd-kd"}, "takes no pool"),
        ({"--teacher": "lenet5_bn"}, "do not fit LeNet5"),
    ],
)
def test_nothing_is_begun_with_what_does_not_fit(
    shell: Shell, words: list[str], tmp_path: Path, changes: dict[str, str | None], message: str
) -> None:
    for option, value in changes.items():
        place = words.index(option)
        words[place : place + 2] = [] if value is None else [option, value]
    if changes.get("--method"):
        words = words[: words.index("--steps")]
    answer = shell(*words, "--folder", "here")
    assert answer.status == 64
    assert message in answer.err
    assert not (tmp_path / "here").exists()
