"""Atomic checkpoints without pickle: any nest of tensors and plain values in one safetensors file.

The tensors are stored as they are; the nest around them is JSON in the file's header. The file is
written beside its destination, flushed to the disk and renamed over it, so that a reader sees the
old state or the new one and never half of either, whenever the writer dies.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bequest.errors import BequestError, InputError

_TAG = "__bequest__"


def save_state(state: Any, path: Path) -> None:
    """Writes `state` (dicts, lists, tuples, tensors, numbers, strings, None) to `path` atomically.

    Raises:
        BequestError: When the disk refuses; what stood at `path` before is untouched.
        TypeError: For a value that is none of the above.
    """
    tensors: dict[str, Tensor] = {}
    header = json.dumps(_encode(state, tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise BequestError(f"Cannot write a checkpoint into {path.parent}: {error}") from error
    os.close(descriptor)
    try:
        save_file(tensors, temporary, metadata={"state": header})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise BequestError(
            f"Cannot write the checkpoint {path}: {error}. The previous one, if any, is intact."
        ) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def load_state(path: Path, device: torch.device | str = "cpu") -> Any:
    """Reads what `save_state` wrote.

    Raises:
        InputError: When the file is missing, truncated or not one of ours.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            header = (file.metadata() or {}).get("state")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is not a readable checkpoint: {error}") from error
    if header is None:
        raise InputError(f"{path} holds tensors but no Bequest state.")
    return _decode(json.loads(header), tensors)


def states_of(objects: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint must hold of each: the tensor itself, or its `state_dict()`."""
    return {
        name: value if isinstance(value, Tensor) else value.state_dict()
        for name, value in objects.items()
    }


def load_states(objects: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Gives each back what `states_of` took; tensors are filled in place.

    Raises:
        InputError: When the names differ.
    """
    if set(saved) != set(objects):
        raise InputError(
            f"The checkpoint holds {sorted(saved)}, but this run needs {sorted(objects)}: it was "
            "written by another version or method."
        )
    for name, value in objects.items():
        if isinstance(value, Tensor):
            value.data.copy_(saved[name])
        else:
            value.load_state_dict(saved[name])


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = f"tensor{len(tensors)}"
        # A copy of its own: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().clone(memory_format=torch.contiguous_format)
        return {_TAG: "tensor", "name": name}
    if isinstance(value, dict):
        items = [[_encode(k, tensors), _encode(v, tensors)] for k, v in value.items()]
        return {_TAG: "dict", "items": items}
    if isinstance(value, tuple):
        return {_TAG: "tuple", "items": [_encode(v, tensors) for v in value]}
    if isinstance(value, list):
        return [_encode(v, tensors) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"A checkpoint cannot hold a {type(value).__name__}.")


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(v, tensors) for v in value]
    if isinstance(value, dict):
        match value[_TAG]:
            case "tensor":
                return tensors[value["name"]]
            case "dict":
                return {_decode(k, tensors): _decode(v, tensors) for k, v in value["items"]}
            case _:
                return tuple(_decode(v, tensors) for v in value["items"])
    return value
