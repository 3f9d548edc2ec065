"""The network of a finished run as one file: safetensors, torch.export or ONNX."""

from __future__ import annotations

import importlib
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor, nn

from bequest import catalog
from bequest.errors import BequestError, InputError, unknown
from bequest.extras import load_extra
from bequest.methods.base import configure
from bequest.nn.load import load_network
from bequest.nn.narrow import RECORD, narrow, read_record
from bequest.nn.normalize import Normalized
from bequest.nn.shared_head import as_saved
from bequest.nn.weights import load_weights, read_weights, save_weights

Format = Literal["safetensors", "torch-export", "onnx"]
SUFFIXES: dict[str, str] = {"safetensors": ".safetensors", "torch-export": ".pt2", "onnx": ".onnx"}
# Of the largest output; fusing and reordering of sums may change that much in single precision.
_TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """How to build the network of a run again.

    Attributes:
        student: What `bequest.nn.load.load_network` takes.
        num_classes: Its outputs.
        image_size: `(channels, height, width)`.
        mean: Subtracted from images in [0, 1] before they enter it.
        std: By which they are divided then.
    """

    student: str
    num_classes: int
    image_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.yaml` of a run.

    Raises:
        InputError: For a folder without one, or one that cannot be read.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder} is not the folder of a run: there is no {path}.")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} holds no configuration.")
    return config


def blueprint(config: Mapping[str, Any]) -> Blueprint:
    """What the configuration of a run says about its network.

    Raises:
        InputError: When it does not say enough to build the network.
    """
    described: Mapping[str, Any] = config
    if config.get("command") == "run":
        study = catalog.find(config["method"]).load_study()
        describe = getattr(study, "student", None)
        if describe is None:
            raise InputError(
                f"The study of '{config['method']}' does not describe its network, so that it "
                "cannot be built again. The weights are in model.safetensors."
            )
        described = describe(config["size"])
    missing = [name for name in Blueprint.__dataclass_fields__ if described.get(name) is None]
    if missing:
        raise InputError(
            f"The run's config.yaml lacks {', '.join(missing)}: it was started from Python with a "
            "network that only the program knows. The weights are in model.safetensors."
        )
    return configure(Blueprint, {name: described[name] for name in Blueprint.__dataclass_fields__})


def load_student(folder: Path, *, normalized: bool = False) -> tuple[nn.Module, Blueprint]:
    """The network of a finished run, in evaluation mode, and how it was built.

    Args:
        folder: Of the run.
        normalized: Whether it is wrapped so that it takes images in [0, 1].

    Raises:
        InputError: When the run has no weights, or does not say what they belong to.
    """
    plan = blueprint(read_config(folder))
    weights = folder / "model.safetensors"
    if not weights.exists():
        raise InputError(f"{folder} has no model.safetensors: go on with bequest resume {folder}")
    with torch.random.fork_rng(devices=[]):
        network = load_network(
            plan.student,
            num_classes=plan.num_classes,
            in_channels=plan.image_size[0],
            image_size=plan.image_size,
        )
    # A student may have got a part of its teacher: its weights say so.
    network = as_saved(network, read_weights(weights), image_size=plan.image_size)
    if (folder / RECORD).exists():  # of a pruned network: fewer channels than it is built with
        narrow(network, read_record(folder / RECORD)["layers"])
    load_weights(network, weights)
    if normalized:
        network = Normalized(network, plan.mean, plan.std)
    return network.eval(), plan


def export(
    folder: Path, *, format: Format, output: Path | None = None, normalized: bool = False
) -> Path:
    """Writes the network of a run as one file, whole or not at all.

    Args:
        folder: Of a finished run.
        format: `safetensors` holds the weights; `torch-export` (`.pt2`) and `onnx` hold the
            network with them, for any batch size.
        output: The file; None is `student` with the format's suffix in the folder.
        normalized: Whether the file's network takes images in [0, 1] and normalises them itself;
            otherwise it takes normalised images, as the teacher does.

    Returns:
        The file.

    Raises:
        InputError: When run, format and output do not go together, or ONNX is not installed.
        BequestError: When what was written answers otherwise than the network.
    """
    if format not in SUFFIXES:
        raise unknown("format", format, SUFFIXES)
    blueprint(read_config(folder))  # a folder that is no run is the first thing to say
    suffix = SUFFIXES[format]
    path = output or folder / f"student{suffix}"
    if path.suffix != suffix:
        raise InputError(f"A file of format {format} ends in {suffix}, not as '{path.name}'.")
    if not path.parent.is_dir():
        raise InputError(f"There is no folder '{path.parent}' to write '{path.name}' into.")
    if format == "safetensors" and normalized:
        raise InputError(
            "safetensors holds weights alone, so that it cannot normalise images: choose "
            "torch-export or onnx."
        )
    if format == "onnx":
        _require_onnx()
    network, plan = load_student(folder, normalized=normalized)
    if format == "safetensors":
        save_weights(network, path)
        return path
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{suffix}")
    try:
        if format == "torch-export":
            _write_export(network, temporary, image_size=plan.image_size)
        else:
            _write_onnx(network, temporary, image_size=plan.image_size)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _write_export(network: nn.Module, path: Path, *, image_size: tuple[int, int, int]) -> None:
    batch = torch.export.Dim("batch")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                network, (torch.rand(2, *image_size),), dynamic_shapes=({0: batch},)
            )
            torch.export.save(program, path)
            written = torch.export.load(path).module()
    except Exception as error:
        raise InputError(f"torch.export cannot take this network: {error}") from error
    images = _images(image_size)
    with torch.no_grad():
        require_equal(written(images), network(images), what="the exported network")


def _write_onnx(network: nn.Module, path: Path, *, image_size: tuple[int, int, int]) -> None:
    onnx = importlib.import_module("onnx")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (torch.rand(2, *image_size),),
                str(path),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: "batch"},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:
        raise InputError(f"ONNX cannot take this network: {error}") from error
    runtime = _onnx_runtime()
    if runtime is not None:
        images = _images(image_size)
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        answer = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        with torch.no_grad():
            require_equal(answer, network(images), what="the ONNX network")


def require_equal(given: Tensor, expected: Tensor, *, what: str) -> None:
    """Raises BequestError unless two outputs `(batch, classes)` agree within float tolerance."""
    gap = (given - expected).abs().max().item() if given.shape == expected.shape else float("inf")
    allowed = _TOLERANCE * max(expected.abs().max().item(), 1.0)
    # Written so that NaN fails, too.
    if not gap <= allowed:
        raise BequestError(
            f"{what} answers otherwise than the network on random images: they differ by "
            f"{gap:.3g}, and {allowed:.3g} is allowed. Nothing was written."
        )


def _images(image_size: tuple[int, int, int]) -> Tensor:
    """Random images, of another batch size than the one that was traced."""
    rng = torch.Generator().manual_seed(0)
    return torch.rand(3, *image_size, generator=rng)


def _require_onnx() -> None:
    for name in ("onnx", "onnxscript"):
        load_extra(name, extra="onnx")


def _onnx_runtime() -> Any:
    """Runs ONNX files; checked against where it is installed, not needed."""
    try:
        return importlib.import_module("onnxruntime")
    except Exception:
        return None
