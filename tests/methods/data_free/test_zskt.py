from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.losses.inversion import adversarial_loss
from bequest.methods.data_free import zskt
from bequest.methods.data_free.zskt import ZSKT, attention_loss, attention_map, matched_taps
from bequest.nn import zoo
from bequest.run import Run


def naive_map(activation):
    """Attention by loops: mean of squared channels at each position, each sample of norm 1."""
    batch, channels, height, width = activation.shape
    rows = []
    for b in range(batch):
        values = [
            sum(activation[b, c, y, x].item() ** 2 for c in range(channels)) / channels
            for y in range(height)
            for x in range(width)
        ]
        norm = math.sqrt(sum(value**2 for value in values))
        rows.append([value / norm for value in values])
    return torch.tensor(rows)


def test_attention_maps_are_those_of_a_loop():
    activation = torch.randn(3, 5, 2, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attention_map(activation), naive_map(activation))


def test_attention_does_not_see_the_scale_of_an_activation_nor_its_number_of_channels():
    activation = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    wide = torch.cat([activation, -activation], dim=1) * 7
    torch.testing.assert_close(attention_map(wide), attention_map(activation))


def test_the_attention_of_a_dead_layer_is_zero_and_so_is_its_gradient():
    activation = torch.zeros(1, 2, 3, 3, requires_grad=True)
    maps = attention_map(activation)
    maps.sum().backward()
    assert maps.eq(0).all()
    assert activation.grad.eq(0).all()


def test_the_attention_loss_is_a_mean_over_positions_and_a_sum_over_layers():
    ours = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0, 0.0]])]
    theirs = [torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])]
    assert attention_loss(ours, theirs).item() == pytest.approx(2 / 2 + 2 / 4)


def test_the_generator_climbs_the_divergence():
    teacher_logits = torch.tensor([[2.0, 0.0, -1.0]])
    student_logits = torch.tensor([[0.5, 0.2, 0.0]], requires_grad=True)
    p, q = torch.softmax(teacher_logits[0], 0), torch.softmax(student_logits[0], 0)
    by_hand = sum(a * math.log(a / b) for a, b in zip(p.tolist(), q.tolist()))
    loss = adversarial_loss(student_logits, teacher_logits)
    assert loss.item() == pytest.approx(-by_hand, rel=1e-5)
    loss.backward()
    with torch.no_grad():  # a step down this loss
        further = adversarial_loss(student_logits - 0.1 * student_logits.grad, teacher_logits)
    assert -further.item() > by_hand


class Residual(nn.Module):
    """Two sizes; the last activation of the first is that of the whole block, made in place."""

    def __init__(self, *, width: int, size: int = 8) -> None:
        super().__init__()
        self.stage = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(inplace=True))
        self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.head = nn.Linear(width, 3)

    def forward(self, images):
        out = self.down(self.stage(images)).relu_()
        return self.head(out.mean((2, 3)))


def test_taps_match_the_last_activation_of_each_common_size():
    teacher, student = Residual(width=4), zoo.build("convnet4", num_classes=3, in_channels=1)
    taps = matched_taps(teacher, student, (1, 8, 8))
    assert list(taps.teacher.modules) == [(8, 8), (4, 4)]  # the student's 2x2 has no partner
    assert taps.teacher.modules[8, 8] is teacher.stage
    assert taps.student.modules[8, 8] is student.features[2]  # after BatchNorm and ReLU
    images = torch.rand(2, 1, 8, 8)
    with taps.teacher, taps.student:
        teacher(images)
        student(images)
    torch.testing.assert_close(taps.teacher.maps[0], attention_map(teacher.stage(images)))
    assert [m.shape for m in taps.student.maps] == [(2, 64), (2, 16)]
    assert not any(m._forward_hooks for m in [*teacher.modules(), *student.modules()])


def test_gradients_of_the_attention_reach_the_student_through_activations_changed_in_place():
    network = Residual(width=4)
    taps = matched_taps(network, network, (1, 8, 8))
    with taps.student:
        network(torch.rand(2, 1, 8, 8))
        sum(m.square().sum() * m[:, 0].sum() for m in taps.student.maps).backward()
    assert network.down.weight.grad.abs().sum() > 0


def tiny(**changes):
    values = dict(rounds=3, student_steps=2, batch_size=8, latent_dim=6, generator_width=4)
    return ZSKT(**values | changes)


def build_teacher():
    torch.manual_seed(0)
    return zoo.build("convnet8", num_classes=3, in_channels=1)


def fit(method, teacher, student=None):
    torch.manual_seed(1)
    student = student or zoo.build("convnet4", num_classes=3, in_channels=1)
    start = [parameter.detach().clone() for parameter in student.parameters()]
    with Run(device="cpu", precision="fp32") as run:
        result = method.fit(teacher, student, image_size=(1, 8, 8), num_classes=3, run=run)
    moved = any(not torch.equal(a, b) for a, b in zip(start, result.model.parameters()))
    return result, moved, {name for row in run.metrics.rows for name in row}


def test_fit_moves_the_student_and_leaves_the_teacher_untouched():
    teacher = build_teacher()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    result, moved, logged = fit(tiny(), teacher)
    assert moved
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None and p.requires_grad for p in teacher.parameters())
    assert not any(m._forward_hooks for m in [*teacher.modules(), *result.model.modules()])
    assert {"agreement", "class_entropy", "confidence"} <= set(result.metrics)
    assert {"adversarial", "attention", "loss"} <= logged


def test_without_attention_no_layer_is_looked_at(monkeypatch):
    def never(*args):
        raise AssertionError("attention was asked for")

    monkeypatch.setattr(zskt, "matched_taps", never)
    _, moved, logged = fit(tiny(attention_weight=0.0), build_teacher())
    assert moved
    assert "attention" not in logged


def test_the_attention_term_counts():
    results = [fit(tiny(attention_weight=weight), build_teacher())[0] for weight in (0.0, 250.0)]
    first, second = (next(iter(result.model.parameters())) for result in results)
    assert not torch.equal(first, second)


def test_a_teacher_without_batch_norm_is_accepted():
    assert fit(tiny(), Residual(width=4))[1]


def test_networks_without_a_common_size_are_refused_unless_attention_is_off():
    class Flat(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Flatten(), nn.Linear(64, 3))

    with pytest.raises(InputError, match=r"8x8.*attention_weight"):
        fit(tiny(), build_teacher(), Flat())
    assert fit(tiny(attention_weight=0.0), build_teacher(), Flat())[1]
