"""Group fairness of decisions, by hand."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.metrics.fairness import equal_opportunity, fairness_figures, statistical_parity

S = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
Y = torch.tensor([1, 1, 0, 0, 1, 1, 1, 0])
PREDICTED = torch.tensor([1, 1, 1, 0, 1, 0, 0, 0])


def test_parity_and_opportunity_by_hand():
    assert statistical_parity(PREDICTED, S) == pytest.approx(3 / 4 - 1 / 4)
    assert equal_opportunity(PREDICTED, Y, S) == pytest.approx(2 / 2 - 1 / 3)
    assert statistical_parity(PREDICTED, 1 - S) == pytest.approx(1 / 2)
    assert statistical_parity(torch.ones(8), S) == 0


def test_all_figures_in_percent():
    logits = torch.stack([torch.zeros(8), 2.0 * PREDICTED - 1], dim=1)
    figures = fairness_figures(logits, Y, S)
    assert figures["accuracy"] == pytest.approx(100 * 5 / 8)
    # Of 5 x 3 pairs of a positive and a negative: 3 x 2 in order, 3 x 1 + 2 x 2 ties.
    assert figures["auc"] == pytest.approx(100 * (6 + 7 / 2) / 15)
    assert figures["parity_gap"] == pytest.approx(50)
    assert figures["negative_parity_gap"] == -figures["parity_gap"]
    assert figures["opportunity_gap"] == pytest.approx(100 * 2 / 3)
    assert figures["negative_opportunity_gap"] == -figures["opportunity_gap"]
    assert figures["positive_rate"] == pytest.approx(50)


def test_an_empty_group_is_an_error_and_not_nan():
    with pytest.raises(InputError, match="with one group"):
        statistical_parity(PREDICTED, torch.ones(8))
    with pytest.raises(InputError, match="Group 0 is empty among the 4"):
        equal_opportunity(PREDICTED, S, S)
    with pytest.raises(InputError, match="two classes that both occur"):
        fairness_figures(torch.zeros(8, 2), torch.ones(8), S)
    with pytest.raises(InputError, match=r"Logits of shape \(8, 3\)"):
        fairness_figures(torch.zeros(8, 3), Y, S)
