"""Objectives on relations between samples or channels, against loops; what leaves them alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.losses.objectives.attention import attention_transfer
from bequest.losses.objectives.correlation import correlation_congruence
from bequest.losses.objectives.probabilistic import pkt
from bequest.losses.objectives.relational import angles, distances, rkd
from bequest.losses.objectives.selectivity import neuron_selectivity
from bequest.losses.objectives.similarity import similarity_preserving

BATCH = 5


@pytest.fixture
def features() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return (
        torch.randn((BATCH, 3), generator=rng, requires_grad=True),
        torch.randn((BATCH, 7), generator=rng, requires_grad=True),
    )


@pytest.fixture
def maps() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(2)
    return (
        torch.randn((BATCH, 2, 4, 4), generator=rng, requires_grad=True),
        torch.randn((BATCH, 3, 4, 4), generator=rng, requires_grad=True),
    )


def huber(a: float, b: float) -> float:
    return 0.5 * (a - b) ** 2 if abs(a - b) < 1 else abs(a - b) - 0.5


def test_rkd_is_what_loops_give(features: tuple[Tensor, Tensor]) -> None:
    psi, cosines = [], []
    for rows in (x.tolist() for x in features):
        apart = [[math.dist(a, b) for b in rows] for a in rows]
        mean = sum(map(sum, apart)) / (BATCH * (BATCH - 1))
        psi.append([d / mean for row in apart for d in row])
        found = []
        for i in range(BATCH):
            for j in range(BATCH):
                for k in range(BATCH):
                    if i in (j, k):
                        found.append(0.0)
                        continue
                    product = sum((y - x) * (z - x) for x, y, z in zip(rows[i], rows[j], rows[k]))
                    found.append(product / apart[i][j] / apart[i][k])
        cosines.append(found)
    by_distance = sum(map(huber, *psi)) / BATCH**2
    by_angle = sum(map(huber, *cosines)) / BATCH**3
    assert rkd(*features).item() == pytest.approx(25 * by_distance + 50 * by_angle, rel=1e-4)
    assert rkd(*features, angle=0.0).item() == pytest.approx(25 * by_distance, rel=1e-4)


def test_rkd_knows_no_scale_no_shift_and_no_rotation(features: tuple[Tensor, Tensor]) -> None:
    teacher = features[1].detach()
    rotation, _ = torch.linalg.qr(torch.randn(7, 7, generator=torch.Generator().manual_seed(3)))
    assert rkd(4 * teacher @ rotation + 2, teacher).item() == pytest.approx(0, abs=1e-6)


def test_rkd_is_finite_where_samples_coincide() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    rkd(features, torch.randn(4, 3, generator=torch.Generator().manual_seed(0))).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert distances(torch.ones(4, 3)).isfinite().all()
    assert angles(torch.ones(4, 3)).abs().max() == 0


def test_similarities_are_what_loops_give(maps: tuple[Tensor, Tensor]) -> None:
    tables = []
    for rows in (x.flatten(1).tolist() for x in maps):
        gram = [[sum(x * y for x, y in zip(a, b)) for b in rows] for a in rows]
        tables.append([v / math.sqrt(sum(u * u for u in row)) for row in gram for v in row])
    expected = sum((a - b) ** 2 for a, b in zip(*tables)) / BATCH**2
    assert similarity_preserving(*maps).item() == pytest.approx(expected, rel=1e-4)


def test_correlations_are_what_loops_give(features: tuple[Tensor, Tensor]) -> None:
    tables = []
    for rows in (x.tolist() for x in features):
        unit = [[v / math.hypot(*row) for v in row] for row in rows]
        kernels = []
        for a in unit:
            for b in unit:
                cosine = sum(x * y for x, y in zip(a, b))
                series = 1 + 0.8 * cosine + 0.8**2 / 2 * cosine**2
                kernels.append(math.exp(-0.8) * series)
        tables.append(kernels)
    expected = sum((a - b) ** 2 for a, b in zip(*tables)) / BATCH**2
    assert correlation_congruence(*features).item() == pytest.approx(expected, rel=1e-4)


def test_a_long_series_is_the_gaussian_kernel(features: tuple[Tensor, Tensor]) -> None:
    pair = [torch.nn.functional.normalize(x, dim=1) for x in features]
    kernels = [torch.exp(-0.4 * torch.cdist(x, x).square()) for x in pair]
    expected = (kernels[0] - kernels[1]).square().mean()
    assert torch.allclose(correlation_congruence(*features, order=12), expected, rtol=1e-3)


def test_pkt_is_what_loops_give(features: tuple[Tensor, Tensor]) -> None:
    tables = []
    for rows in (x.tolist() for x in features):
        found = []
        for a in rows:
            kernel = [
                (sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b) + 1) / 2
                for b in rows
            ]
            found += [k / sum(kernel) for k in kernel]
        tables.append(found)
    expected = sum(t * math.log(t / s) for s, t in zip(*tables)) / BATCH**2
    assert pkt(*features).item() == pytest.approx(expected, rel=1e-3)


def test_attention_is_what_loops_give(maps: tuple[Tensor, Tensor]) -> None:
    looks = []
    for samples in (x.tolist() for x in maps):
        for channels in samples:
            flat = [[v for row in rows for v in row] for rows in channels]
            energy = [sum(v * v for v in place) / len(flat) for place in zip(*flat)]
            looks.append([e / math.hypot(*energy) for e in energy])
    pairs = zip(looks[:BATCH], looks[BATCH:])
    errors = [(a - b) ** 2 for ours, theirs in pairs for a, b in zip(ours, theirs)]
    expected = sum(errors) / (BATCH * 16)
    assert attention_transfer([maps[0]], [maps[1]]).item() == pytest.approx(expected, rel=1e-4)
    both = attention_transfer([maps[0], maps[0]], [maps[1], maps[1]]).item()
    assert both == pytest.approx(2 * expected, rel=1e-4)


def test_selectivity_is_what_loops_give(maps: tuple[Tensor, Tensor]) -> None:
    def points(sample: list) -> list[list[float]]:
        flat = [[v for row in channel for v in row] for channel in sample]
        return [[v / math.hypot(*channel) for v in channel] for channel in flat]

    def kernel(a: list, b: list) -> float:
        products = [sum(x * y for x, y in zip(p, q)) ** 2 for p in a for q in b]
        return sum(products) / len(products)

    found = []
    for student, teacher in zip(*(x.tolist() for x in maps)):
        a, b = points(student), points(teacher)
        found.append(kernel(a, a) + kernel(b, b) - 2 * kernel(a, b))
    given = neuron_selectivity([maps[0]], [maps[1]]).item()
    assert given == pytest.approx(sum(found) / BATCH, rel=1e-4)


ON_FEATURES = [rkd, correlation_congruence, pkt]
ON_MAPS = [
    similarity_preserving,
    lambda s, t: attention_transfer([s], [t]),
    lambda s, t: neuron_selectivity([s], [t]),
]


@pytest.mark.parametrize("loss", ON_FEATURES)
def test_equal_features_cost_nothing_and_teachers_take_no_gradient(loss, features) -> None:
    student, teacher = features
    assert loss(teacher, teacher).item() == pytest.approx(0, abs=1e-6)
    loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


@pytest.mark.parametrize("loss", ON_MAPS, ids=["sp", "attention", "nst"])
def test_equal_maps_cost_nothing_and_teachers_take_no_gradient(loss, maps) -> None:
    student, teacher = maps
    assert loss(teacher, teacher).item() == pytest.approx(0, abs=1e-6)
    loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


@pytest.mark.parametrize("loss", ON_FEATURES)
def test_other_batches_are_refused_with_both_shapes(loss) -> None:
    with pytest.raises(InputError, match=r"\(4, 3\).*\(5, 3\)"):
        loss(torch.ones(4, 3), torch.ones(5, 3))


def test_maps_of_another_size_are_averaged_or_refused() -> None:
    large, small = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 4, 4)
    pooled = torch.nn.functional.avg_pool2d(large, 2)
    given = attention_transfer([large], [small])
    assert torch.allclose(given, attention_transfer([pooled], [small]))
    with pytest.raises(InputError, match=r"\(2, 3, 8, 8\).*\(2, 3, 7, 7\)"):
        attention_transfer([large], [torch.rand(2, 3, 7, 7)])
    with pytest.raises(InputError, match=r"1 maps \(3x8x8\).*2 \(3x4x4, 3x4x4\)"):
        attention_transfer([large], [small, small])
