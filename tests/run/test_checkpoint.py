"""Checkpoints: whole or absent, never executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from bequest.errors import BequestError, InputError
from bequest.run import load_state, save_state


def nest() -> dict:
    shared = torch.arange(4.0)
    return {
        "weights": {"a": shared, "b": shared.view(2, 2)},
        "types": [torch.tensor([1, 2], dtype=torch.uint8), torch.tensor(1.5, dtype=torch.bfloat16)],
        "plain": (1, 2.5, float("inf"), "text", None, True),
        3: {"integer key": [[], {}]},
    }


def test_a_nest_comes_back_as_it_was(tmp_path: Path) -> None:
    save_state(nest(), tmp_path / "state")
    back = load_state(tmp_path / "state")
    torch.testing.assert_close(back["weights"], nest()["weights"], rtol=0, atol=0)
    assert [t.dtype for t in back["types"]] == [torch.uint8, torch.bfloat16]
    assert back["plain"] == nest()["plain"]
    assert back[3] == nest()[3]


def test_what_cannot_be_stored_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold a set"):
        save_state({"x": {1, 2}}, tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    save_state({"step": 1}, path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BequestError, match=r"No space left.*previous one.*intact"):
        save_state({"step": 2}, path)
    assert load_state(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("kept", [0, 7, 40])
def test_truncated_files_are_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "state"
    save_state(nest(), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_state(path)


class _Bomb:
    def __reduce__(self) -> tuple:
        return (os.mkdir, ("exploded",))


def test_pickled_code_is_refused_unexecuted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("state").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_state(Path("state"))
    assert not Path("exploded").exists()
