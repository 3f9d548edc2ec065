"""Weights from files of every kind, and what is done with names and shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.normalize import Normalized
from bequest.nn.weights import load_weights, read_weights, save_weights


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(1)
    return zoo.build("convnet4", num_classes=3)


@pytest.fixture
def empty() -> nn.Module:
    torch.manual_seed(2)
    return zoo.build("convnet4", num_classes=3)


def assert_same(first: nn.Module, second: nn.Module) -> None:
    mine, other = first.state_dict(), second.state_dict()
    assert list(mine) == list(other)
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def differ(first: nn.Module, second: nn.Module) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".th", ".ckpt", ".safetensors", ".npz"])
def test_every_kind_of_file_fills_the_network(
    network: nn.Module, empty: nn.Module, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(network.state_dict(), path)
    elif suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in network.state_dict().items()})
    else:
        torch.save(network.state_dict(), path)
    assert differ(network, empty)
    load_weights(empty, path)
    assert_same(network, empty)


@pytest.mark.parametrize("container", ["state_dict", "model_state_dict", "model", "net"])
def test_a_state_dict_inside_a_checkpoint_is_found(
    network: nn.Module, empty: nn.Module, tmp_path: Path, container: str
) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"epoch": 3, container: network.state_dict(), "best": 0.9}, path)
    load_weights(empty, path)
    assert_same(network, empty)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "network.", "module._orig_mod.", "model.module."]
)
def test_prefixes_of_wrappers_are_taken_off(
    network: nn.Module, empty: nn.Module, tmp_path: Path, prefix: str
) -> None:
    path = tmp_path / "weights.pt"
    torch.save({prefix + name: value for name, value in network.state_dict().items()}, path)
    load_weights(empty, path)
    assert_same(network, empty)


def test_prefixes_that_belong_to_the_network_stay(network: nn.Module, tmp_path: Path) -> None:
    wrapped = Normalized(network, [0.5], [0.5])
    save_weights(wrapped, tmp_path / "wrapped.safetensors")
    other = Normalized(zoo.build("convnet4", num_classes=3), [0.5], [0.5])
    load_weights(other, tmp_path / "wrapped.safetensors")
    assert_same(wrapped, other)
    bare = zoo.build("convnet4", num_classes=3)
    load_weights(bare, tmp_path / "wrapped.safetensors")
    assert_same(bare, network)


def test_counters_of_batch_norm_may_be_missing(
    network: nn.Module, empty: nn.Module, tmp_path: Path
) -> None:
    weights = network.state_dict()
    kept = {name: value for name, value in weights.items() if "num_batches" not in name}
    assert len(kept) < len(weights)
    torch.save(kept, tmp_path / "weights.pt")
    load_weights(empty, tmp_path / "weights.pt")
    assert_same(network, empty)


def test_precision_follows_the_network(
    network: nn.Module, empty: nn.Module, tmp_path: Path
) -> None:
    torch.save(network.half().state_dict(), tmp_path / "weights.pt")
    load_weights(empty, tmp_path / "weights.pt")
    assert all(parameter.dtype == torch.float32 for parameter in empty.parameters())
    assert_same(network.float(), empty)


def test_groups_of_an_npz_file_are_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, **{"a/x": np.zeros(2), "b/x": np.ones(2)})
    assert read_weights(path, group="b")["x"].tolist() == [1, 1]
    with pytest.raises(InputError, match="holds a, b; 'c' is none of them"):
        read_weights(path, group="c")
    np.savez(path, **{"a/x": np.zeros(2)})
    assert read_weights(path, group="c")["x"].tolist() == [0, 0]


def test_mismatches_are_listed_by_name_and_nothing_is_loaded(
    network: nn.Module, empty: nn.Module, tmp_path: Path
) -> None:
    weights = dict(network.state_dict())
    weights["classifier.weight"] = torch.zeros(5, 16)
    del weights["classifier.bias"]
    weights["head.bias"] = torch.zeros(5)
    torch.save(weights, tmp_path / "weights.pt")
    before = {name: value.clone() for name, value in empty.state_dict().items()}
    with pytest.raises(InputError) as caught:
        load_weights(empty, tmp_path / "weights.pt")
    message = str(caught.value)
    assert "1 missing in the file: classifier.bias" in message
    assert "1 unknown to the network: head.bias" in message
    assert "classifier.weight is (5, 16) in the file, (3, 16) in the network" in message
    assert all(torch.equal(before[name], value) for name, value in empty.state_dict().items())


def test_quantised_weights_are_not_taken_for_floating_ones(
    empty: nn.Module, tmp_path: Path
) -> None:
    weights = empty.state_dict()
    weights["classifier.weight"] = torch.zeros(3, 16, dtype=torch.int8)
    torch.save(weights, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"classifier\.weight is \(3, 16\) of whole numbers in"):
        load_weights(empty, tmp_path / "weights.pt")


def test_long_lists_are_cut_after_ten(empty: nn.Module, tmp_path: Path) -> None:
    torch.save({f"other.{index:02}": torch.zeros(1) for index in range(25)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"25 unknown .*other\.09 and 15 more") as caught:
        load_weights(empty, tmp_path / "w.pt")
    assert "other.10" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_that_are_not_finite_are_refused_by_name(
    network: nn.Module, tmp_path: Path, value: float, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    network.classifier.bias.data[1] = value
    network.features[1].running_var[0] = value
    save = save_file if suffix == ".safetensors" else torch.save
    save(network.state_dict(), path)
    with pytest.raises(InputError, match="in 2 tensors: ") as caught:
        read_weights(path)
    assert "features.1.running_var" in str(caught.value)
    assert "classifier.bias" in str(caught.value)


def test_written_weights_are_read_back_equal(
    network: nn.Module, empty: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "student.safetensors"
    network.to(memory_format=torch.channels_last)
    save_weights(network, path)
    load_weights(empty, path)
    assert_same(network, empty)
    assert [file.name for file in tmp_path.iterdir()] == ["student.safetensors"]


def test_names_that_share_memory_are_all_written(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    save_weights(network, tmp_path / "tied.safetensors")
    assert set(load_file(tmp_path / "tied.safetensors")) == set(network.state_dict())


def test_the_old_file_survives_a_full_disk(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "student.safetensors"
    save_weights(network, path)
    before = path.read_bytes()
    network.classifier.bias.data += 1

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(network, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_bad_destination_is_refused(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not as 'student\.pt'"):
        save_weights(network, tmp_path / "student.pt")
    with pytest.raises(InputError, match="There is no folder"):
        save_weights(network, tmp_path / "nowhere" / "student.safetensors")
