"""Files that are damaged, of another kind or hostile: refused, and never run."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.weights import read_weights

# Torch warns about the protocol of a foreign pickle before it refuses it.
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


def write_torch(path: Path, marker: Path) -> None:
    torch.save({"weight": torch.zeros(2), "trap": Trap(marker)}, path)


def write_legacy_torch(path: Path, marker: Path) -> None:
    torch.save({"trap": Trap(marker)}, path, _use_new_zipfile_serialization=False)


def write_bare_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps(Trap(marker)))


def write_arrays(path: Path, marker: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, weight=np.zeros(2), trap=np.array([Trap(marker)], dtype=object))


def test_the_trap_works(tmp_path: Path, marker: Path) -> None:
    write_torch(tmp_path / "trap.pt", marker)
    torch.load(tmp_path / "trap.pt", weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("write", [write_torch, write_legacy_torch, write_bare_pickle])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_pickled_code_in_torch_files_is_not_run(
    tmp_path: Path, marker: Path, write: object, suffix: str
) -> None:
    path = tmp_path / f"trap{suffix}"
    write(path, marker)  # type: ignore[operator]
    with pytest.raises(InputError, match="refused and nothing in it was run") as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("write", [write_torch, write_bare_pickle, write_arrays])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_pickled_code_under_other_names_is_not_run(
    tmp_path: Path, marker: Path, write: object, suffix: str
) -> None:
    path = tmp_path / f"trap{suffix}"
    write(path, marker)  # type: ignore[operator]
    with pytest.raises(InputError, match="cannot be read as"):
        read_weights(path)
    assert not marker.exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(InputError, match=r"network\.state_dict\(\)"):
        read_weights(tmp_path / "whole.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz"])
@pytest.mark.parametrize("kept", [0, 7, 0.5, 0.99])
def test_files_cut_short_are_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    weights = zoo.build("convnet4", num_classes=3).state_dict()
    if suffix == ".safetensors":
        save_file(weights, path)
    elif suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in weights.items()})
    else:
        torch.save(weights, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    with pytest.raises(InputError, match=f"cut{suffix}' (cannot be read|is damaged)"):
        read_weights(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz"])
def test_text_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_text("<html>Not found</html>\n" * 20)
    with pytest.raises(InputError, match=f"text{suffix}' (cannot be read|is damaged)"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no weights, but nothing"),
        ([torch.zeros(1)], "holds no weights, but a list"),
        (torch.zeros(1), "holds no weights, but a Tensor"),
        ({"weight": torch.zeros(1), "epoch": 3}, "other things under epoch"),
        ({"state_dict": {}}, "holds no weights, but nothing"),
        ({0: torch.zeros(1)}, "other things under 0"),
    ],
)
def test_content_that_is_no_state_dict_is_refused(
    tmp_path: Path, content: object, message: str
) -> None:
    torch.save(content, tmp_path / "content.pt")
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path / "content.pt")


def test_missing_files_and_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no weights file"):
        read_weights(tmp_path / "missing.pt")
    with pytest.raises(InputError, match="There is no weights file"):
        read_weights(tmp_path)
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(InputError, match="is no weights file"):
        read_weights(tmp_path / "weights.h5")
