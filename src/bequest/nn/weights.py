"""Weights from files and into files, without ever running code that a file brings.

Read: safetensors, state dicts of ``torch.save`` (through ``weights_only=True``) and ``.npz``
(without pickle). Written: safetensors, whole or not at all.
"""

from __future__ import annotations

import os
import pickle
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bequest.errors import InputError

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".th", ".ckpt")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES, ".npz")

# What other programs put around a state dict, and around the names in it.
_CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "network")
_WRAPPERS = ("module.", "_orig_mod.", "model.", "network.")
# Counters that say nothing about what a network knows; some files leave them out.
_OPTIONAL = "num_batches_tracked"
_SHOWN = 10


def read_weights(path: str | os.PathLike[str], *, group: str | None = None) -> dict[str, Any]:
    """Reads a file of weights; executes nothing that the file contains.

    Args:
        path: ``.safetensors``; ``.pt``, ``.pth``, ``.bin``, ``.th`` or ``.ckpt`` with a state
            dict, possibly inside a dict under ``state_dict``, ``model_state_dict``, ``model``,
            ``net`` or ``network``; or ``.npz`` with arrays under ``name`` or ``group/name``.
        group: which group of an ``.npz`` file to read; not needed where there is only one.

    Returns:
        Tensors on the CPU by name, every floating one finite.

    Raises:
        InputError: for a file that is missing, damaged, of another kind, holds pickled objects,
            something else than tensors, or NaN or infinite values (named).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no weights file '{path}'.")
    if path.suffix == ".safetensors":
        content = _read_safetensors(path)
    elif path.suffix == ".npz":
        content = _select_group(_read_arrays(path), group=group, path=path)
    elif path.suffix in TORCH_SUFFIXES:
        content = _unpack(_read_torch(path))
    else:
        raise InputError(f"'{path}' is no weights file: give one of {', '.join(SUFFIXES)}.")
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"'{path}' holds no weights, but {_kind(content)}: save a state_dict.")
    strangers = [str(name) for name, value in content.items() if not _is_tensor(name, value)]
    if strangers:
        raise InputError(
            f"'{path}' must hold tensors by name, but has other things under "
            f"{shorten(strangers)}: save the state_dict alone."
        )
    weights = dict(content)
    require_finite(weights, source=f"'{path}'")
    return weights


def load_weights(
    network: nn.Module, path: str | os.PathLike[str], *, group: str | None = None
) -> None:
    """Reads a file of weights into a network; all of it, or nothing.

    The prefixes ``module.``, ``_orig_mod.``, ``model.`` and ``network.``, which wrappers put
    before every name, are taken off where the names then match better. Counters of BatchNorm
    (``num_batches_tracked``) may be missing.

    Args:
        network: receives the weights in place, in its own precision and on its own device.
        path: see :func:`read_weights`.
        group: see :func:`read_weights`.

    Raises:
        InputError: as :func:`read_weights`, and for names or shapes that do not match, each kind
            listed by name.
    """
    expected = network.state_dict()
    weights = _without_wrappers(read_weights(path, group=group), expected)
    missing = [name for name in expected if name not in weights]
    missing = [name for name in missing if name.rpartition(".")[2] != _OPTIONAL]
    unexpected = [name for name in weights if name not in expected]
    different = [
        f"{name} is {_form(weights[name])} in the file, {_form(value)} in the network"
        for name, value in expected.items()
        if name in weights and _form(weights[name]) != _form(value)
    ]
    lists = (
        ("missing in the file", missing, ", "),
        ("unknown to the network", unexpected, ", "),
        ("of another shape or kind", different, "; "),
    )
    problems = [
        f"{len(found)} {label}: {shorten(found, separator=separator)}"
        for label, found, separator in lists
        if found
    ]
    if problems:
        raise InputError(
            f"The weights in '{path}' do not fit {type(network).__name__}.\n  "
            + "\n  ".join(problems)
            + "\nCheck the network's name, the number of classes and the image channels."
        )
    network.load_state_dict({**expected, **weights})


def save_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Writes the ``state_dict`` as safetensors, whole or not at all.

    The file is written beside its destination, brought to disk and then renamed: whoever reads
    ``path``, even after a crash, finds the old content or the new, never a part.

    Args:
        network: whose parameters and persistent buffers are written.
        path: ends in ``.safetensors``; its folder exists.

    Raises:
        InputError: for another suffix or a missing folder.
        OSError: if the disk is full or read-only; the old file is untouched then.
    """
    # Imported here: reading a torch file needs no safetensors.
    from safetensors.torch import save

    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"Weights are written as '.safetensors', not as '{path.name}'.")
    if not path.parent.is_dir():
        raise InputError(f"There is no folder '{path.parent}' to write '{path.name}' into.")
    # A copy for each name, because safetensors refuses memory that two names share.
    tensors = {
        name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in network.state_dict().items()
    }
    content = save(tensors, metadata={"format": "pt"})
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def require_finite(tensors: Mapping[str, torch.Tensor], *, source: str) -> None:
    """Raises :class:`InputError` that names the tensors with NaN or infinite values."""
    broken = [
        name
        for name, value in tensors.items()
        if (value.is_floating_point() or value.is_complex()) and not value.isfinite().all()
    ]
    if broken:
        raise InputError(
            f"{source} has NaN or infinite values in {len(broken)} tensors: {shorten(broken)}. "
            "The training that made it probably diverged: use an earlier checkpoint."
        )


def shorten(items: Iterable[str], *, separator: str = ", ") -> str:
    """The first ten items, and how many more there are."""
    found = list(items)
    rest = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return separator.join(found[:_SHOWN]) + rest


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:
        raise InputError(
            f"'{path}' cannot be read as safetensors ({_first_line(error)}): "
            "it is damaged, cut short or of another kind."
        ) from error


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Torch's message advises to load without protection, so it is not passed on.
        raise InputError(
            f"'{path}' is damaged or holds pickled objects that could run code; it was refused "
            "and nothing in it was run. Whoever trusts the file can save its weights alone: "
            "torch.save(network.state_dict(), path), or safetensors."
        ) from error
    except Exception as error:
        raise InputError(
            f"'{path}' cannot be read as torch weights ({_first_line(error)}): "
            "it is damaged, cut short or of another kind."
        ) from error


def _read_arrays(path: Path) -> dict[str, torch.Tensor]:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except Exception as error:
        raise InputError(
            f"'{path}' cannot be read as numeric arrays ({_first_line(error)}): it is damaged, "
            "cut short, of another kind or holds pickled objects, which are never run."
        ) from error


def _select_group(
    arrays: dict[str, torch.Tensor], *, group: str | None, path: Path
) -> dict[str, torch.Tensor]:
    groups = sorted({name.partition("/")[0] for name in arrays if "/" in name})
    if not groups:
        return arrays
    if group not in groups:
        if len(groups) > 1:
            raise InputError(f"'{path}' holds {', '.join(groups)}; '{group}' is none of them.")
        group = groups[0]
    prefix = f"{group}/"
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


def _unpack(content: Any) -> Any:
    """Takes the state dict out of the dicts that training programs put around it."""
    while isinstance(content, Mapping):
        inner = (content[name] for name in _CONTAINERS if isinstance(content.get(name), Mapping))
        found = next(inner, None)
        if found is None:
            break
        content = found
    return content


def _without_wrappers(
    weights: dict[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Takes off the prefixes that all names share, as far as that makes more of them match."""
    best = weights
    while prefix := next((p for p in _WRAPPERS if all(n.startswith(p) for n in weights)), None):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
        if len(weights.keys() & expected.keys()) > len(best.keys() & expected.keys()):
            best = weights
    return best


def _is_tensor(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, torch.Tensor) and not value.is_sparse


def _form(tensor: torch.Tensor) -> str:
    """Shape, and whether the numbers are whole, as in quantised weights."""
    return f"{tuple(tensor.shape)}{'' if tensor.is_floating_point() else ' of whole numbers'}"


def _kind(content: Any) -> str:
    return "nothing" if isinstance(content, Mapping) else f"a {type(content).__name__}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
