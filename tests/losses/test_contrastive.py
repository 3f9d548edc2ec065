"""Contrastive losses against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.contrastive import info_nce, supervised_contrast


def by_loops(queries, keys, temperature, valid):
    losses = []
    for i, query in enumerate(queries.tolist()):
        scores = [sum(a * b for a, b in zip(query, key)) / temperature for key in keys.tolist()]
        total = sum(math.exp(s) for s, counts in zip(scores, valid) if counts)
        losses.append(math.log(total) - scores[i] if valid[i] else 0.0)
    return losses


def vectors(count=6, dim=4, *, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=draw), dim=1)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("held", [6, 4])
def test_it_is_the_loop_over_queries_and_keys(temperature, held):
    queries, keys = vectors(seed=0), vectors(seed=1)
    valid = torch.arange(6) < held
    ours = info_nce(queries, keys, temperature=temperature, valid=valid)
    expected = by_loops(queries, keys, temperature, valid.tolist())
    assert ours.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    if held == 6:
        assert torch.equal(info_nce(queries, keys, temperature=temperature), ours)


def test_padding_changes_nothing_and_gets_no_gradient():
    queries, keys = vectors().requires_grad_(), vectors(seed=1)
    short = info_nce(queries[:4], keys[:4])
    padded = info_nce(queries, keys, valid=torch.arange(6) < 4)
    assert torch.allclose(padded[:4], short)
    padded.sum().backward()
    assert queries.grad.isfinite().all()
    assert queries.grad[:4].abs().sum() > 0
    assert not queries.grad[4:].any()


def test_the_gradient_is_that_of_finite_differences():
    queries, keys = vectors(3, 3).requires_grad_(), vectors(3, 3, seed=1)
    info_nce(queries, keys, temperature=0.5).sum().backward()
    step = 1e-2
    for place in [(0, 0), (2, 1)]:
        shift = torch.zeros(3, 3)
        shift[place] = step
        with torch.no_grad():
            up = info_nce(queries + shift, keys, temperature=0.5).sum().item()
            down = info_nce(queries - shift, keys, temperature=0.5).sum().item()
        assert queries.grad[place].item() == pytest.approx((up - down) / (2 * step), rel=1e-2)


def test_identical_instances_cost_the_logarithm_of_their_number():
    same = vectors(1).expand(8, -1)
    assert info_nce(same, same).tolist() == pytest.approx([math.log(8)] * 8, rel=1e-5)
    distinct = torch.eye(8)
    assert info_nce(distinct, distinct).max() < 1e-2


@pytest.mark.parametrize(
    ("queries", "keys", "temperature"),
    [(vectors(4), vectors(5), 0.1), (vectors(4)[0], vectors(4)[0], 0.1), (vectors(), vectors(), 0)],
    ids=["lengths", "not a matrix", "temperature"],
)
def test_what_does_not_fit_is_refused(queries, keys, temperature):
    with pytest.raises(InputError, match="temperature above 0"):
        info_nce(queries, keys, temperature=temperature)


def test_supervised_contrast_is_the_mean_over_all_others_of_the_class():
    rows, labels, temperature = vectors(5, 3), [0, 1, 0, 0, 2], 0.7
    expected = []
    for i in range(5):
        scores = [float(rows[i] @ rows[j]) / temperature for j in range(5)]
        total = sum(math.exp(s) for j, s in enumerate(scores) if j != i)
        mates = [j for j in range(5) if j != i and labels[j] == labels[i]]
        terms = [math.log(total) - scores[j] for j in mates]
        expected.append(sum(terms) / len(terms) if terms else 0.0)
    found = supervised_contrast(rows, torch.tensor(labels), temperature=temperature)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_supervised_contrast_of_equal_rows_is_the_logarithm_of_all_others():
    found = supervised_contrast(torch.zeros(9, 4), torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2]))
    assert found.tolist() == pytest.approx([math.log(8)] * 9)


def test_supervised_contrast_follows_a_permutation_and_has_a_finite_gradient():
    rows, labels = vectors(6, 3).requires_grad_(), torch.tensor([0, 1, 0, 1, 2, 1])
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    found = supervised_contrast(rows, labels)
    moved = supervised_contrast(rows[order], labels[order])
    torch.testing.assert_close(found[order], moved)
    found.sum().backward()
    assert rows.grad.isfinite().all()
    assert rows.grad.abs().sum() > 0


def test_supervised_contrast_refuses_labels_of_another_number():
    with pytest.raises(InputError, match="temperature above 0"):
        supervised_contrast(vectors(4), torch.zeros(3, dtype=torch.int64))
