"""Pruned networks on disk: weights as safetensors, and a record of how many channels are left.

The record names each layer that is narrower than the architecture makes it. To load, the unpruned
architecture is built, its layers are cut to the recorded channels, and the weights are read, all
of them or none. Nothing is unpickled, and no pruning library is needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bequest.errors import InputError
from bequest.nn.load import load_network
from bequest.nn.weights import load_weights

RECORD = "architecture.json"
"""The file beside `model.safetensors`."""
_VERSION = 1
_COUNTS = {"conv": ("in_channels", "out_channels", "groups"), "norm": ("num_features",)}

Record = dict[str, dict[str, int]]
"""Channel counts by layer name: `in_channels`, `out_channels` and `groups`, or `num_features`."""


def widths(network: nn.Module) -> Record:
    """The channel counts of all convolutions and BatchNorm layers, by name."""
    return {
        name: {count: int(getattr(layer, count)) for count in _COUNTS[kind]}
        for name, layer in network.named_modules()
        if (kind := _kind(layer))
    }


def narrowed(before: nn.Module, after: nn.Module) -> Record:
    """The record of a pruned network: its layers that differ from the unpruned one's."""
    unpruned = widths(before)
    return {name: counts for name, counts in widths(after).items() if counts != unpruned[name]}


def narrow(network: nn.Module, record: Mapping[str, Mapping[str, int]]) -> nn.Module:
    """Cuts the layers of an unpruned network to the recorded channels, in place.

    Which channels it keeps is of no account: weights are to be loaded.

    Args:
        network: As built, unpruned.
        record: What `narrowed` gave.

    Returns:
        The same network.

    Raises:
        InputError: When the record names layers or counts that this network does not have.
    """
    layers = dict(network.named_modules())
    for name, counts in record.items():
        kind = _kind(layers.get(name))
        if kind is None or set(counts) != set(_COUNTS[kind]):
            raise InputError(
                f"The architecture record cuts the layer '{name}' to {dict(counts)}, but "
                f"{type(network).__name__} has no such layer: it belongs to another network."
            )
        for count, value in counts.items():
            most = getattr(layers[name], count)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise InputError(
                    f"The architecture record gives '{name}' {value!r} {count}; 1 to {most} are "
                    "possible."
                )
        (_cut_convolution if kind == "conv" else _cut_norm)(layers[name], counts)
    return network


def write_record(path: Path, record: Record, **known: Any) -> None:
    """Writes the record as JSON, whole or not at all.

    Args:
        path: In a folder that exists.
        record: What `narrowed` gave.
        known: What else rebuilds the network, if known: `network` (what
            `bequest.nn.load.load_network` takes), `num_classes`, `image_size`.
    """
    text = json.dumps({"version": _VERSION, **known, "layers": record}, indent=2)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_record(path: Path) -> dict[str, Any]:
    """What `write_record` wrote; the channel counts are under `layers`.

    Raises:
        InputError: For a file that is missing or no such record.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' is no readable architecture record: {error}") from error
    layers = content.get("layers") if isinstance(content, dict) else None
    if not isinstance(layers, dict) or not all(isinstance(v, dict) for v in layers.values()):
        raise InputError(f"'{path}' is no architecture record: it lists no layers.")
    if content.get("version") != _VERSION:
        raise InputError(
            f"'{path}' is of version {content.get('version')}, not {_VERSION}: it was written by "
            "another version of Bequest."
        )
    return content


def load_pruned(folder: Path | str, network: nn.Module | None = None) -> nn.Module:
    """The pruned network of a folder with `architecture.json` and `model.safetensors`.

    Args:
        folder: Of a run of `bequest compress`.
        network: The unpruned architecture, newly built; without it, it is built from what the
            record names.

    Returns:
        The network in evaluation mode; the given one, cut in place.

    Raises:
        InputError: When record, network and weights do not fit.
    """
    folder = Path(folder)
    record = read_record(folder / RECORD)
    if network is None:
        network = _rebuilt(record, folder)
    narrow(network, record["layers"])
    load_weights(network, folder / "model.safetensors")
    return network.eval()


def _rebuilt(record: Mapping[str, Any], folder: Path) -> nn.Module:
    known = [record.get(name) for name in ("network", "num_classes", "image_size")]
    if None in known:
        raise InputError(
            f"The record in '{folder}' does not name its network, which only the program that "
            "made it knows: give the unpruned network to load_pruned."
        )
    size: Any = record["image_size"]
    with torch.random.fork_rng(devices=[]):
        return load_network(
            record["network"],
            num_classes=record["num_classes"],
            in_channels=size[0],
            image_size=(size[0], size[1], size[2]),
        )


def _kind(layer: nn.Module | None) -> str | None:
    if isinstance(layer, nn.Conv2d):
        return "conv"
    return "norm" if isinstance(layer, _BatchNorm) else None


def _cut_convolution(layer: Any, counts: Mapping[str, int]) -> None:
    layer.in_channels, layer.out_channels = counts["in_channels"], counts["out_channels"]
    layer.groups = counts["groups"]
    if layer.in_channels % layer.groups or layer.out_channels % layer.groups:
        raise InputError(f"The architecture record gives a convolution {dict(counts)}: no whole.")
    weight = layer.weight[: layer.out_channels, : layer.in_channels // layer.groups]
    layer.weight = _parameter(weight, layer.weight)
    if layer.bias is not None:
        layer.bias = _parameter(layer.bias[: layer.out_channels], layer.bias)


def _cut_norm(layer: Any, counts: Mapping[str, int]) -> None:
    kept = layer.num_features = counts["num_features"]
    for name in ("weight", "bias"):
        if (value := getattr(layer, name)) is not None:
            setattr(layer, name, _parameter(value[:kept], value))
    for name in ("running_mean", "running_var"):
        if (value := getattr(layer, name)) is not None:
            setattr(layer, name, value[:kept].clone())


def _parameter(value: Tensor, like: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(value.detach().clone(), requires_grad=like.requires_grad)
