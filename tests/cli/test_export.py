"""`bequest export`: what is written answers as the network does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
import yaml
from command_line import Shell
from torch import nn

from bequest.errors import BequestError
from bequest.export import Blueprint, blueprint, export, load_student, require_equal
from bequest.nn import zoo
from bequest.nn.load import load_network
from bequest.nn.normalize import Normalized
from bequest.nn.weights import load_weights, save_weights

_MEAN, _STD = 0.3, 0.4


@pytest.fixture
def student() -> nn.Module:
    """BatchNorm statistics that are not those of a new network, so that losing them shows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = zoo.build("convnet8", num_classes=10, in_channels=1)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    return network.eval()


@pytest.fixture
def folder(tmp_path: Path, student: nn.Module) -> Path:
    """A finished run of `bequest distill`, as far as export looks at it."""
    path = tmp_path / "run"
    path.mkdir()
    config = {
        "command": "distill",
        "student": "convnet8",
        "num_classes": 10,
        "image_size": [1, 8, 8],
        "mean": [_MEAN],
        "std": [_STD],
    }
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    save_weights(student, path / "model.safetensors")
    return path


def images(count: int) -> torch.Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def test_safetensors_fits_the_network_by_its_own_names(
    shell: Shell, folder: Path, student: nn.Module, tmp_path: Path
) -> None:
    answer = shell("export", "run", "--format", "safetensors", "--output", "s.safetensors")
    assert answer.status == 0, answer.err
    assert "Written: s.safetensors" in answer.out
    assert "([0, 1] - 0.3) / 0.4" in answer.out
    other = zoo.build("convnet8", num_classes=10, in_channels=1).eval()
    load_weights(other, tmp_path / "s.safetensors")
    assert torch.equal(other(images(5)), student(images(5)))


def test_the_weights_of_a_study_lose_their_wrapper(folder: Path, student: nn.Module) -> None:
    # Studies save the network with its normalisation around it: names begin with `network.`.
    save_weights(Normalized(student, [_MEAN], [_STD]), folder / "model.safetensors")
    network, _ = load_student(folder)
    assert torch.equal(network(images(2)), student(images(2)))


@pytest.mark.parametrize("normalized", [False, True])
def test_torch_export_equals_the_network_for_any_batch(
    shell: Shell, folder: Path, student: nn.Module, normalized: bool
) -> None:
    words = ["--normalized"] if normalized else []
    answer = shell("export", "run", "--format", "torch-export", *words)
    assert answer.status == 0, answer.err
    program = torch.export.load(folder / "student.pt2").module()
    for count in (1, 5):
        given = images(count)
        seen = (given - _MEAN) / _STD if normalized else given
        torch.testing.assert_close(program(given), student(seen))
    # And it is a teacher for the next distillation.
    network = load_network(
        str(folder / "student.pt2"), num_classes=10, in_channels=1, image_size=(1, 8, 8)
    )
    given = images(4)
    seen = (given - _MEAN) / _STD if normalized else given
    torch.testing.assert_close(network(given), student(seen))


@pytest.mark.skipif(
    importlib.util.find_spec("onnx") is not None
    and importlib.util.find_spec("onnxscript") is not None,
    reason="onnx is installed",
)
def test_onnx_says_what_to_install(shell: Shell, folder: Path) -> None:
    answer = shell("export", "run", "--format", "onnx")
    assert answer.status == 64
    assert 'pip install "bequest[onnx]"' in answer.err
    assert not (folder / "student.onnx").exists()


def test_onnx_equals_the_network(folder: Path, student: nn.Module) -> None:
    pytest.importorskip("onnxscript")
    onnx = pytest.importorskip("onnx")
    path = export(folder, format="onnx")
    given = images(3)
    reference = importlib.import_module("onnx.reference")
    answer = reference.ReferenceEvaluator(onnx.load(path)).run(None, {"images": given.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer[0]), student(given), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "safetensors", "--output", "s.pt"), "ends in .safetensors"),
        (("--format", "torch-export", "--output", "no/s.pt2"), "no folder 'no'"),
        (("--format", "safetensors", "--normalized"), "holds weights alone"),
        (("--format", "tflite"), "tflite"),
    ],
)
def test_what_does_not_go_together(
    shell: Shell, folder: Path, words: tuple[str, ...], message: str
) -> None:
    answer = shell("export", "run", *words)
    assert answer.status == 64
    assert message in answer.err


def test_an_unfinished_run_says_how_to_go_on(shell: Shell, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    answer = shell("export", "run", "--format", "safetensors")
    assert answer.status == 64
    assert "bequest resume run" in answer.err


def test_a_run_from_python_says_where_its_weights_are(shell: Shell, folder: Path) -> None:
    (folder / "config.yaml").write_text("command: distill\nseed: 0\n", encoding="utf-8")
    answer = shell("export", "run", "--format", "torch-export")
    assert answer.status == 64
    assert "lacks student, num_classes, image_size, mean, std" in answer.err
    assert "model.safetensors" in answer.err


def test_a_study_describes_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    class Described:
        @staticmethod
        def student(size: str) -> dict:
            known = {"num_classes": 10, "image_size": [1, 8, 8], "mean": [0.0], "std": [1.0]}
            return {"student": f"net-{size}", **known}

    class Row:
        study: type = Described

        def load_study(self) -> type:
            return self.study

    row = Row()
    monkeypatch.setattr("bequest.catalog.find", lambda id: row)
    config = {"command": "run", "method": "any", "size": "smoke"}
    assert blueprint(config) == Blueprint(
        student="net-smoke", num_classes=10, image_size=(1, 8, 8), mean=(0.0,), std=(1.0,)
    )
    row.study = object
    with pytest.raises(BequestError, match="does not describe its network"):
        blueprint(config)


def test_a_file_that_answers_otherwise_is_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the tracing had lost the second half of the network's arithmetic.
    original = torch.export.load

    class Wrong:
        def __init__(self, path: Path) -> None:
            self.program = original(path).module()

        def module(self):
            return lambda given: self.program(given) + 1e-2

    monkeypatch.setattr(torch.export, "load", Wrong)
    with pytest.raises(BequestError, match=r"they differ by 0\.01"):
        export(folder, format="torch-export")
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "model.safetensors"]


def test_nan_and_other_shapes_are_never_equal() -> None:
    right = torch.zeros(2, 3)
    require_equal(right + 1e-5, right, what="it")
    for wrong in (right + float("nan"), torch.zeros(2, 4), right + 1e-3):
        with pytest.raises(BequestError, match="it answers otherwise"):
            require_equal(wrong, right, what="it")
