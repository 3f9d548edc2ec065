"""The shift report: what it says of images like the teacher's own, and of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bequest.ops.selection import dynamic_selection
from bequest.run import Run
from bequest.synthesis.selection_log import SelectionLog
from bequest.synthesis.shift import class_entropy, report_shift


def images(low: int, high: int, count: int = 400) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(low, high, (count, 1, 8, 8), generator=rng, dtype=torch.uint8)


@pytest.fixture
def teacher() -> nn.Module:
    """Its BatchNorm has seen images of all greys."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=None), nn.Flatten(), nn.Linear(144, 3)
        )
        network(images(0, 256, 4000) / 255)
    return network.eval()


def test_own_images_lie_near_and_others_far(teacher: nn.Module, tmp_path: Path) -> None:
    with Run(tmp_path, device="cpu", precision="fp32") as run:
        near = report_shift(teacher, images(0, 256), run)
        far = report_shift(teacher, images(200, 256), run)
    assert near["statistics_shift"] < 0.01
    assert far["statistics_shift"] > 50 * near["statistics_shift"]
    assert 0 <= far["pool_class_entropy"] <= 1
    table = json.loads((tmp_path / "tables" / "pool_classes.json").read_text(encoding="utf-8"))
    assert sum(table["images"]) == 400
    assert (tmp_path / "pictures" / "pool.png").is_file()


def test_a_teacher_without_batch_norm_has_no_statistics() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    with Run(device="cpu", precision="fp32") as run:
        assert set(report_shift(plain, images(0, 256), run)) == {
            "pool_confidence",
            "pool_class_entropy",
        }


def test_entropy_by_hand() -> None:
    assert class_entropy(torch.tensor([5, 5, 5])) == pytest.approx(1.0)
    assert class_entropy(torch.tensor([5, 0, 0])) == 0.0
    assert class_entropy(torch.tensor([1, 1, 0, 0])) == pytest.approx(0.5)
    assert class_entropy(torch.zeros(3, dtype=torch.int64)) == 0.0


def test_selections_are_logged_and_saved(tmp_path: Path) -> None:
    logits = torch.tensor([[0.97, 0.03], [0.9, 0.1], [0.6, 0.4], [0.35, 0.65]]).log()
    selected = dynamic_selection(logits, logits, trust=1.0)
    pixels = images(0, 256, 4)
    with Run(tmp_path, device="cpu", precision="fp32") as run:
        log = SelectionLog(4, run.device)
        assert log.report(pixels, run) == {}
        log.tell(selected, trust=0.5, agreement=0.75, run=run)
        other = SelectionLog(4, run.device)
        other.load_state_dict(log.state_dict())
        other.tell(selected, trust=0.25, agreement=1.0, run=run)
        assert other.report(pixels, run) == {"kept_share": 0.5}
    table = json.loads((tmp_path / "tables" / "selection.json").read_text(encoding="utf-8"))
    assert table["trust"] == [0.5, 0.25]
    assert table["pool_agreement"] == [75.0, 100.0]
    assert (table["kept_0"], table["kept_1"]) == ([1.0, 1.0], [1.0, 1.0])
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"kept.png", "dropped.png"}
