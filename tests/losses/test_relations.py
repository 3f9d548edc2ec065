"""Relations against loops in plain Python, and what half precision does to them."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.errors import InputError
from bequest.losses.relations import class_token_kl, feature_error, relation_error, relation_kl
from bequest.ops.token_relations import log_relation, relation_scores


def scores(seed: int, heads: int = 3) -> torch.Tensor:
    return torch.randn(2, heads, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_kl_is_the_mean_over_all_rows_of_all_heads() -> None:
    student, teacher = scores(0), scores(1)
    total = 0.0
    for image in range(2):
        for head in range(3):
            for row in range(4):
                s, t = (x[image, head, row].tolist() for x in (student, teacher))
                rs, rt = ([math.exp(v) / sum(map(math.exp, r)) for v in r] for r in (s, t))
                total += sum(b * math.log(b / a) for a, b in zip(rs, rt))
    assert relation_kl(student, teacher).item() == pytest.approx(total / 24, rel=1e-5)
    # Not the mean over images alone, which is heads times rows larger.
    naive = torch.nn.functional.kl_div(
        student.log_softmax(-1), teacher.softmax(-1), reduction="batchmean"
    )
    assert relation_kl(student, teacher).item() == pytest.approx(naive.item() / 12, rel=1e-5)


def test_kl_is_zero_for_the_same_and_for_scores_shifted_by_rows() -> None:
    same = scores(0)
    assert relation_kl(same, same).item() == pytest.approx(0, abs=1e-7)
    assert relation_kl(same + 3 * scores(2)[..., :1], same).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kl_stays_finite_where_the_log_of_a_softmax_does_not(dtype: torch.dtype) -> None:
    student = torch.tensor([[[[0.0, 120.0]]]]).to(dtype).requires_grad_()
    teacher = torch.tensor([[[[0.0, 0.0]]]], dtype=dtype)
    assert student.softmax(-1).log().isinf().any()
    loss = relation_kl(student, teacher)
    assert loss.item() == pytest.approx(60 - math.log(2), rel=1e-3)
    loss.backward()
    assert torch.isfinite(student.grad).all()


def test_the_gradient_is_the_difference_of_relations() -> None:
    student, teacher = scores(0).requires_grad_(), scores(1)
    relation_kl(student, teacher).backward()
    expected = (student.softmax(-1) - teacher.softmax(-1)) / 24
    assert torch.allclose(student.grad, expected, atol=1e-7)


def test_the_mean_head_needs_no_common_number_of_heads() -> None:
    student, teacher = scores(0, heads=5), scores(1, heads=3)
    rs, rt = student.softmax(-1).mean(1), teacher.softmax(-1).mean(1)
    expected = (rt * (rt / rs).log()).sum(-1).mean()
    assert relation_kl(student, teacher, mean_head=True).item() == pytest.approx(
        expected.item(), rel=1e-5
    )
    assert torch.allclose(log_relation(student, mean_head=True)[:, 0].exp(), rs, atol=1e-6)
    gap = (student.mean(1) - teacher.mean(1)).square().mean()
    assert relation_error(student, teacher, mean_head=True).item() == pytest.approx(gap.item())


def test_scores_follow_the_order_of_one_linear_layer() -> None:
    heads, dim = 2, 6
    rows = torch.randn(1, 4, 3 * dim, generator=torch.Generator().manual_seed(0))
    q, _, v = rows[0].chunk(3, 1)
    for kind, (a, b) in {"qv": (q, v), "vv": (v, v)}.items():
        found = relation_scores(rows, kind, heads=heads)
        for head in range(heads):
            for i in range(4):
                for j in range(4):
                    by_hand = sum(
                        a[i, head * 3 + c].item() * b[j, head * 3 + c].item() for c in range(3)
                    )
                    assert found[0, head, i, j].item() == pytest.approx(
                        by_hand / math.sqrt(3), abs=1e-5
                    )


def test_wrong_kinds_and_heads_are_named() -> None:
    rows = torch.zeros(1, 4, 18)
    for kind in ("q", "qx", "qkv"):
        with pytest.raises(InputError, match=f"'{kind}'"):
            relation_scores(rows, kind, heads=2)
    with pytest.raises(InputError, match=r"6 channels.*4 heads"):
        relation_scores(rows, "qk", heads=4)


def test_features_are_whitened_on_the_teachers_side_alone() -> None:
    teacher = torch.tensor([[[1.0, 3.0]], [[10.0, 30.0]]])
    white = torch.tensor([[[-1.0, 1.0]], [[-1.0, 1.0]]])
    assert feature_error(white, teacher).item() == pytest.approx(0, abs=1e-5)
    # Smooth L1: half the square below 1, the distance less a half above.
    away = white + torch.tensor([[[0.5, 0.0]], [[0.0, 3.0]]])
    assert feature_error(away, teacher).item() == pytest.approx((0.125 + 2.5) / 4, abs=1e-4)


def test_the_class_token_is_a_distribution_over_channels() -> None:
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert class_token_kl(student, teacher).item() == pytest.approx(expected, abs=1e-6)
