"""Tracking figures of tracks whose mistakes are known."""

from __future__ import annotations

import sys

import pytest
import torch

from bequest.errors import InputError
from bequest.metrics.tracking import TrackedBoxes, tracking_figures

# Two people, six frames each, far apart.
TRUTH = TrackedBoxes(
    frame=torch.arange(1, 7).repeat(2),
    identity=torch.tensor([1] * 6 + [2] * 6),
    boxes=torch.tensor([[0.0, 0, 10, 20]] * 6 + [[100.0, 0, 10, 20]] * 6),
)


def changed(identity=None, keep=slice(None)):
    return TrackedBoxes(
        frame=TRUTH.frame[keep],
        identity=(TRUTH.identity if identity is None else torch.tensor(identity))[keep],
        boxes=TRUTH.boxes[keep],
    )


@pytest.fixture(autouse=True)
def needs_motmetrics():
    pytest.importorskip("motmetrics", reason="motmetrics is in bequest[matching]")


def test_the_truth_is_perfect():
    figures = tracking_figures([TRUTH], [TRUTH])
    assert figures == pytest.approx(
        {"mota": 100.0, "idf1": 100.0, "switches": 0, "false_positives": 0, "misses": 0}
    )


def test_a_switch_and_misses():
    figures = tracking_figures([TRUTH], [changed([1] * 3 + [7] * 3 + [2] * 6)])
    assert figures["switches"] == 1
    assert figures["mota"] == pytest.approx(100 * (1 - 1 / 12))
    assert figures["idf1"] == pytest.approx(100 * 9 / 12)
    figures = tracking_figures([TRUTH], [changed(keep=slice(0, 6))])
    assert figures["misses"] == 6
    assert figures["mota"] == pytest.approx(50)


def test_videos_are_counted_together():
    figures = tracking_figures([TRUTH, TRUTH], [TRUTH, changed(keep=slice(0, 6))])
    assert figures["mota"] == pytest.approx(75)


def test_where_motmetrics_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "motmetrics", None)
    with pytest.raises(InputError, match=r"bequest\[matching\]"):
        tracking_figures([TRUTH], [TRUTH])
