"""`bequest compress`: from a network's name to a pruned one that loads, exports and resumes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from command_line import Shell
from safetensors.torch import load_file

import bequest
from bequest.errors import InputError
from bequest.export import load_student
from bequest.methods.data_free.uniform_noise import UniformNoise
from bequest.nn import zoo
from bequest.nn.narrow import load_pruned
from bequest.nn.weights import save_weights

_NETWORKS = """
from torch import nn


def plain(num_classes, in_channels):
    layers = [nn.Conv2d(in_channels, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, num_classes))
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A network for digits with weights drawn at random, and a short run."""
    pytest.importorskip("torch_pruning", reason="torch-pruning is in bequest[compress]")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = zoo.build("resnet8", num_classes=10, in_channels=1)
    save_weights(network, tmp_path / "network.safetensors")
    text = (
        "compress resnet8 --weights network.safetensors --prune 0.6 --heal data-free --image-size "
        "1x8x8 --num-classes 10 --mean 0.3 --std 0.4 --threads 1 --precision fp32 --rule uniform "
        "--min-channels 2 --batches 2 --synthesis-batch 16 --inversion-steps 3 --epochs 2 "
        "--batch-size 8 --jitter 1"
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


def test_a_run_is_told_recorded_and_loads_again(
    shell: Shell, words: list[str], tmp_path: Path
) -> None:
    answer = shell(*words, "--evaluate", "digits", "--folder", "here")
    assert answer.status == 0, answer.err
    for figure in ("removed parameters", "macs after", "unpruned score", "pruned score"):
        assert figure in answer.out
    assert "synthesis time" in answer.out
    config = yaml.safe_load((tmp_path / "here" / "config.yaml").read_text(encoding="utf-8"))
    assert config["command"] == "compress"
    assert config["student"] == "resnet8"
    assert (config["resolved"]["sparsity"], config["resolved"]["images"]) == (0.6, "inverted")
    latency = json.loads((tmp_path / "here" / "tables" / "latency.json").read_text("utf-8"))
    assert set(latency) == {"milliseconds_before", "milliseconds_after"}
    network = load_pruned(tmp_path / "here")
    assert network.layer1[0].conv1.out_channels == 7
    saved = load_file(tmp_path / "here" / "model.safetensors")
    assert set(saved) == set(network.state_dict())


def test_what_was_pruned_is_exported(shell: Shell, words: list[str], tmp_path: Path) -> None:
    assert shell(*words, "--folder", "here").status == 0
    answer = shell("export", "here", "--format", "torch-export", "--normalized")
    assert answer.status == 0, answer.err
    network, _ = load_student(tmp_path / "here", normalized=True)
    program = torch.export.load(tmp_path / "here" / "student.pt2").module()
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(program(images), network(images), atol=1e-5)
    assert shell("export", "here", "--format", "safetensors").status == 0


def test_resume_ends_in_the_weights_of_a_run_that_was_never_stopped(
    shell: Shell, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        assert shell(*words, "--folder", "killed", "--checkpoint-seconds", "0").status == 70
    resumed = shell("resume", "killed", "--json")
    assert resumed.status == 0, resumed.err
    whole, killed = (load_file(tmp_path / f / "model.safetensors") for f in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    record = "architecture.json"
    assert (tmp_path / "whole" / record).read_text() == (tmp_path / "killed" / record).read_text()


@pytest.mark.parametrize(
    ("heal", "more", "section"),
    [("none", [], None), ("noise", [], "healing"), ("real", ["--data", "digits"], "healing")],
)
def test_other_ways_to_heal(
    shell: Shell, words: list[str], tmp_path: Path, heal: str, more: list[str], section: str | None
) -> None:
    if heal == "none":
        words = replaced(words, epochs=None)
    answer = shell(*replaced(words, heal=heal), *more, "--folder", "here", "--json")
    assert answer.status == 0, answer.err
    flops = json.loads(answer.out)["flops"]
    assert "synthesis" not in flops
    assert section is None or flops[section] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": None}, "would be untrained"),
        ({"prune": "1.0"}, "must lie between 0 and 1"),
        ({"prune": "0"}, "must lie between 0 and 1"),
        ({"sparsity": "0.3"}, "give --prune and --heal alone"),
        ({"heal": "none"}, "give --prune and --heal alone"),
        ({"heal": "real"}, "go together"),
        ({"data": "digits"}, "go together"),
        ({"min_channels": "64"}, "removes no filter"),
        ({"rule": "layer-dependent", "prune": "0.01"}, "removes no filter"),
        ({"backbone": "layer9"}, "no module to be the backbone 'layer9'"),
        ({"image_size": "8x8"}, "channels, height and width"),
        ({"evaluate": "mnist5k"}, "the data to evaluate on"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    shell: Shell, words: list[str], options: dict[str, str | None], message: str
) -> None:
    answer = shell(*replaced(words, **options), "--folder", "here")
    assert answer.status == 64
    assert answer.err.count("Error: ") == 1
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not Path("here").exists()


def test_a_network_without_batch_norm_is_told_what_to_do(
    shell: Shell, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "plain_networks.py").write_text(_NETWORKS, encoding="utf-8")
    words[1] = "plain_networks:plain"
    words = replaced(words, weights=None)
    refused = shell(*words, "--folder", "refused")
    assert refused.status == 64
    assert "no BatchNorm layer" in refused.err
    # Images from the class loss and the priors alone are the way that the message names.
    answer = shell(*words, "--bn-weight", "0", "--folder", "here")
    assert answer.status == 0, answer.err


def test_a_missing_library_is_named(
    shell: Shell, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    answer = shell(*words, "--folder", "here")
    assert answer.status == 64
    assert 'pip install "bequest[compress]"' in answer.err


def test_in_python_with_a_network_that_only_the_program_knows(
    words: list[str], tmp_path: Path
) -> None:
    network = zoo.build("resnet8", num_classes=10, in_channels=1)
    options = {"image_size": (1, 8, 8), "mean": [0.3], "std": [0.4], "num_classes": 10}
    method = {"method": "dfbf", "folder": tmp_path / "run", "progress": False}
    with pytest.raises(InputError, match="does not compress networks; choose dfbf"):
        bequest.compress(network, **options, **{**method, "method": UniformNoise})
    from bequest.methods.compression.dfbf import DFBF

    method["method"] = DFBF(sparsity=0.6, rule="uniform", min_channels=2, epochs=0, batches=1)
    pruned, result = bequest.compress(network, **options, **method)
    assert result.model is pruned
    assert not pruned.training
    with pytest.raises(InputError, match="only the program"):
        load_pruned(tmp_path / "run")
    again = load_pruned(tmp_path / "run", zoo.build("resnet8", num_classes=10, in_channels=1))
    images = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(again(images), pruned(images), atol=1e-5)
