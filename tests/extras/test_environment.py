"""The second environment is what it says it is, and the core stays apart from it."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from bequest.errors import InputError
from bequest.nn.load import load_network

pytestmark = pytest.mark.extras

ROOT = Path(__file__).parents[2]


def test_all_of_the_set_is_there_and_as_new_as_the_constraints_say() -> None:
    lines = (ROOT / "constraints" / "full.txt").read_text(encoding="utf-8").splitlines()
    floors = dict(line.split(">=") for line in lines if line and not line.startswith("#"))
    assert set(floors) == {"torch", "torchvision", "timm"}
    for package, floor in floors.items():
        version = metadata.version(package).split("+")[0]
        assert [int(part) for part in version.split(".")] >= [int(p) for p in floor.split(".")]


def test_torchvision_imports_beside_this_torch() -> None:
    import torchvision

    assert torchvision.ops.nms is not None


def test_the_core_imports_neither_though_both_are_there() -> None:
    """What is installed must not decide what is imported: it would slow down every start."""
    code = (
        "import sys\n"
        "from bequest import catalog, distill, load\n"
        "from bequest.studies.data_free.setting import execute\n"
        "for entry in catalog.methods().values():\n"
        "    entry.load_method(), entry.load_study()\n"
        "sys.exit(', '.join({'torchvision', 'timm'} & sys.modules.keys()) or None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_a_broken_library_is_named_with_its_cause(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when one was built for another torch: the library that is found first is broken."""
    code = "raise RuntimeError('operator torchvision::nms does not exist')\n"
    (tmp_path / f"{package}.py").write_text(code, encoding="utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"RuntimeError: operator torchvision::nms.*bequest\[vis"):
        load_network(f"{package}:resnet18", num_classes=3)
