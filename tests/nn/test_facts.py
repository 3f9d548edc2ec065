"""Scores against the papers' formulas, fact by fact; what is public; what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.errors import InputError
from bequest.nn.facts import OrthogonalTransform, Rotation, Translation

ENTITIES, RELATIONS, DIM = 11, 4, 12


def generator():
    return torch.Generator().manual_seed(0)


def build(kind, **options):
    sizes = (ENTITIES, RELATIONS)
    if kind == "orthogonal":
        model = OrthogonalTransform(
            *sizes, dim=DIM, block_size=4, margin=3.0, generator=generator(), reach=1.0, **options
        )
        if model.scales is not None:
            model.scales.data += 0.3 * torch.randn(RELATIONS, DIM, generator=generator())
        model.matrices.data += 0.1 * torch.randn(model.matrices.shape, generator=generator())
        return model
    cls = Rotation if kind == "rotation" else Translation
    return cls(*sizes, dim=DIM, margin=3.0, generator=generator())


def block_norms(vector, size):
    return vector.view(-1, size).norm(dim=1).sum()


def orthogonal_by_hand(model, head, relation, tail, side):
    """Row vectors; packed as the authors do: n rows of n numbers and a scale at the end of each."""
    packed = torch.cat([model.matrices, model.scales.view(RELATIONS, -1, 4, 1)], dim=-1)[relation]
    answer, question = (tail, head) if side == "tail" else (head, tail)
    moved = []
    for block in range(DIM // 4):
        rows: list[torch.Tensor] = []
        for row in packed[block, :, :4]:
            left = row - sum((row @ done) * done for done in rows)
            rows.append(left / left.norm())
        turned, scale = torch.stack(rows), packed[block, :, 4]
        vector = model.entities[question].view(-1, 4)[block]
        if side == "tail":
            moved.append(vector @ (scale.exp()[:, None] * turned))
        else:
            moved.append(vector @ ((-scale).exp()[:, None] * turned.T))
    return 3.0 - block_norms(torch.cat(moved) - model.entities[answer], 4)


def rotation_by_hand(model, head, relation, tail, side):
    angle = model.angles[relation] / (model.reach / math.pi)
    vector = [torch.view_as_complex(model.entities[e].view(-1, 2)) for e in (head, tail)]
    return 3.0 - (vector[0] * torch.polar(torch.ones_like(angle), angle) - vector[1]).abs().sum()


def translation_by_hand(model, head, relation, tail, side):
    moved = model.entities[head] + model.translations[relation] - model.entities[tail]
    return 3.0 - moved.abs().sum()


@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize(
    ("kind", "by_hand"),
    [
        ("orthogonal", orthogonal_by_hand),
        ("rotation", rotation_by_hand),
        ("translation", translation_by_hand),
    ],
)
def test_scores_are_those_of_the_paper(kind, by_hand, side):
    model = build(kind)
    anchors, relations = torch.tensor([0, 5, 5]), torch.tensor([1, 3, 1])
    with torch.no_grad():
        tables = model.tables()
        whole = model.score_all(tables, anchors, relations, side)
        some = torch.tensor([[3, 0], [10, 5], [1, 1]])
        chosen = model.score(tables, anchors, relations, some, side)
        for row, (anchor, relation) in enumerate(zip(anchors, relations, strict=True)):
            for entity in range(ENTITIES):
                ends = (anchor, entity) if side == "tail" else (entity, anchor)
                expected = by_hand(model, ends[0], relation, ends[1], side)
                torch.testing.assert_close(whole[row, entity], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(chosen, whole.gather(1, some), atol=1e-4, rtol=1e-4)


def test_with_scales_the_way_back_is_not_the_inverse():
    model = build("orthogonal")
    tables, relation = model.tables(), torch.tensor([2])
    there = model.turn(tables, model.entities[:1], relation, "tail")
    back = model.turn(tables, there, relation, "head")
    assert (back - model.entities[:1]).abs().max() > 0.05
    plain = build("orthogonal", scale="none")
    there = plain.turn(plain.tables(), plain.entities[:1], relation, "tail")
    back = plain.turn(plain.tables(), there, relation, "head")
    torch.testing.assert_close(back, plain.entities[:1], atol=1e-5, rtol=1e-5)


def test_scales_by_size():
    model = build("orthogonal", scale="abs")
    tables = model.tables()
    torch.testing.assert_close(tables["forth"], model.scales.abs())
    torch.testing.assert_close(tables["forth"] * tables["back"], torch.ones(RELATIONS, DIM))


def test_it_starts_orthogonal_and_without_scales():
    model = OrthogonalTransform(3, 2, dim=40, block_size=20, generator=generator())
    product = model.orthogonal_relations() @ model.matrices.mT
    assert (product - torch.eye(20)).abs().max() < 1e-5
    assert model.entities.abs().max() <= 0.01
    assert not model.scales.any()


def test_singular_matrices_are_repaired_before_they_spoil_gradients():
    model = build("orthogonal")
    model.matrices.data[1, 0, 2] = model.matrices.data[1, 0, 1]
    turned = model.orthogonal_relations()
    (turned**3).sum().backward()
    assert model.matrices.grad.isfinite().all()
    assert (turned @ turned.mT - torch.eye(4)).abs().max() < 1e-5


def test_scores_of_facts_and_of_open_ends_agree():
    model = build("orthogonal")
    facts = torch.tensor([[0, 1, 4], [7, 3, 2]])
    with torch.no_grad():
        tails = model.score_t(facts[:, :2])
        torch.testing.assert_close(
            model.score_hrt(facts), tails.gather(1, facts[:, 2:])[:, 0], atol=1e-5, rtol=1e-5
        )
        heads = model.score_all(model.tables(), facts[:, 2], facts[:, 1], "head")
        assert torch.equal(model.score_h(facts[:, 1:]), heads)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"dim is 10, block_size 4.*for example 12"):
        OrthogonalTransform(3, 2, dim=10, block_size=4, generator=generator())
    with pytest.raises(InputError, match="0 entities and 2 relations"):
        Translation(0, 2, dim=4, margin=1.0, generator=generator())
    with pytest.raises(InputError, match="block_size 2"):
        Rotation(3, 2, dim=5, margin=1.0, generator=generator())
