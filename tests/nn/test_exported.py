"""Networks from torch.export files: what comes back, and what is refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.exported import load_exported, restore_layers
from bequest.nn.inspection import FeatureTap, batch_norm_layers, penultimate_layer
from bequest.nn.load import load_network

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
BATCH = ({0: torch.export.Dim("batch")},)


class Mixed(nn.Module):
    """One BatchNorm used twice, one without affine weights, on vectors, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)
        self.flat = nn.BatchNorm1d(3, affine=False, momentum=0.3, eps=1e-3)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(3, 4, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = self.bn(torch.relu(self.bn(images)))
        return self.fc(self.dropout(self.flat(images.mean((2, 3)))))


def filled(network: nn.Module) -> nn.Module:
    """With running statistics that differ from those of a fresh network."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        network(torch.rand(16, 3, 8, 8, generator=rng))
    return network.eval()


def export(network: nn.Module) -> torch.export.ExportedProgram:
    return torch.export.export(network, (torch.rand(2, 3, 8, 8),), dynamic_shapes=BATCH)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return filled(zoo.build("convnet4", num_classes=4))


@pytest.fixture(scope="module")
def program(network: nn.Module) -> torch.export.ExportedProgram:
    return export(network)


@pytest.fixture(scope="module")
def saved(program: torch.export.ExportedProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "teacher.pt2"
    torch.export.save(program, path)
    return path


def test_a_file_gives_the_network_with_its_layers(network: nn.Module, saved: Path) -> None:
    teacher = load_network(saved, num_classes=4, image_size=(3, 8, 8))
    images = torch.rand(5, 3, 8, 8)
    assert not teacher.training
    assert torch.equal(teacher(images), network(images))
    assert teacher.state_dict().keys() == network.state_dict().keys()
    layers = batch_norm_layers(teacher)
    assert list(layers) == list(batch_norm_layers(network))
    assert all(type(layer) is nn.BatchNorm2d for layer in layers.values())
    with FeatureTap(penultimate_layer(teacher)) as tap:
        logits = teacher(images)
    torch.testing.assert_close(penultimate_layer(teacher)(tap.value), logits)


def test_statistics_and_gradients_are_within_reach(network: nn.Module, saved: Path) -> None:
    teacher = load_exported(saved)
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    gradients = []
    for module in (network, teacher):
        with FeatureTap(list(batch_norm_layers(module).values())[2]) as tap:
            module(images)
        gradients.append(torch.autograd.grad(tap.value.var((0, 2, 3)).sum(), images)[0])
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(gradients[1], gradients[0])


def test_training_mode_uses_and_moves_the_statistics(network: nn.Module, saved: Path) -> None:
    teacher, images = load_exported(saved).train(), torch.rand(8, 3, 8, 8)
    twin = zoo.build("convnet4", num_classes=4)
    twin.load_state_dict(network.state_dict())
    torch.testing.assert_close(teacher(images), twin.train()(images))
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(teacher.state_dict()[name], value)


def test_shared_and_plain_batch_norm_come_back() -> None:
    network = filled(Mixed())
    teacher = restore_layers(export(network), source="mixed")
    images = torch.rand(5, 3, 8, 8)
    assert torch.equal(teacher(images), network(images))
    layers = batch_norm_layers(teacher)
    assert list(layers) == ["bn", "flat"]
    assert layers["flat"].eps == 1e-3
    assert layers["flat"].momentum == 0.3
    assert layers["flat"].weight is None
    assert penultimate_layer(teacher).bias is None


def test_a_decomposed_program_gives_its_batch_norm(
    network: nn.Module, program: torch.export.ExportedProgram
) -> None:
    teacher = restore_layers(program.run_decompositions(), source="decomposed")
    images = torch.rand(5, 3, 8, 8)
    torch.testing.assert_close(teacher(images), network(images))
    assert list(batch_norm_layers(teacher)) == list(batch_norm_layers(network))


def test_programs_that_cannot_teach_are_refused(network: nn.Module) -> None:
    images = torch.rand(2, 3, 8, 8)
    with pytest.raises(InputError, match=r"here was exported for the fixed input \(2, 3, 8, 8\)"):
        restore_layers(torch.export.export(network, (images,)), source="here")
    with pytest.raises(InputError, match=r"network\.eval\(\) before"):
        restore_layers(export(Mixed().train()), source="here")
    sequence = nn.Bilinear(2, 2, 2)
    pair = (torch.rand(2, 2), torch.rand(2, 2))
    with pytest.raises(InputError, match="takes 2 inputs"):
        restore_layers(torch.export.export(sequence, pair), source="here")


def rewrite(saved: Path, path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Copies an archive member by member; a change of None leaves the member out."""
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = change(name, source.read(name))
            if content is not None:
                target.writestr(name, content)
    return path


def test_a_harmless_copy_is_read(network: nn.Module, saved: Path, tmp_path: Path) -> None:
    # The next tests change such copies, and must fail for the change alone.
    path = rewrite(saved, tmp_path / "copy.pt2", lambda _, content: content)
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(load_exported(path)(images), network(images))


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def test_pickled_code_is_refused_and_not_run(saved: Path, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    torch.save((Trap(marker),), tmp_path / "trap.pt")
    trap = (tmp_path / "trap.pt").read_bytes()
    path = rewrite(
        saved,
        tmp_path / "trap.pt2",
        lambda name, content: trap if name.endswith("sample_inputs/model.pt") else content,
    )
    with pytest.raises(InputError, match=r"nothing in it was run: .*holds pickled objects"):
        load_exported(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"torch.ops.aten.relu_.default"', '"torch.hub.load"', "calls 'torch.hub.load'"),
        ('"torch.ops.aten.relu_.default"', '"_operator.call"', "calls '_operator.call'"),
        ('"torch.ops.aten.relu_.default"', '"#custom.op"', "calls '#custom.op'"),
        ('"use_pickle": false', '"use_pickle": true', "is pickled"),
        ('"Symbol(', "\"__import__('os').system('true') or Symbol(", "more than arithmetic"),
        ('"Symbol(', "\"Symbol('a.b').func or Symbol(", "more than arithmetic"),
        ('\\"builtins.tuple\\"', '\\"collections.defaultdict\\"', "more than tensors"),
        ('\\"context\\": \\"null\\"', '\\"context\\": \\"__enum__\\"', "more than tensors"),
    ],
)
def test_programs_that_do_more_than_arithmetic_are_refused(
    saved: Path, tmp_path: Path, before: str, after: str, message: str
) -> None:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith(".json"):
            return content
        compact = json.dumps(json.loads(content))
        found.append(before in compact)
        return compact.replace(before, after).encode()

    found: list[bool] = []
    path = rewrite(saved, tmp_path / "changed.pt2", change)
    assert any(found)
    with pytest.raises(InputError, match=message):
        load_exported(path)


@pytest.mark.parametrize(
    "member",
    ["data/aotinductor/model/run.so", "data/constants/custom_obj_0", "data/weights/model.pt"],
)
def test_members_that_a_plain_network_does_not_need_are_refused(
    saved: Path, tmp_path: Path, member: str
) -> None:
    path = rewrite(saved, tmp_path / "more.pt2", lambda _, content: content)
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/{member}", b"")
    with pytest.raises(InputError, match=f"it holds '{member}'"):
        load_exported(path)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_files_cut_short_are_refused(saved: Path, tmp_path: Path, kept: float) -> None:
    whole = saved.read_bytes()
    path = tmp_path / "cut.pt2"
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(InputError, match=r"cut\.pt2' is no torch\.export file, or is damaged"):
        load_exported(path)


def test_damage_inside_and_missing_files_are_refused(saved: Path, tmp_path: Path) -> None:
    content = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        member = next(m for m in archive.infolist() if m.filename.endswith("weights/weight_0"))
    content[member.header_offset + 200] ^= 0xFF
    (tmp_path / "damaged.pt2").write_bytes(bytes(content))
    with pytest.raises(InputError, match="damaged"):
        load_exported(tmp_path / "damaged.pt2")
    with pytest.raises(InputError, match="There is no exported network"):
        load_exported(tmp_path / "missing.pt2")
