"""Fused statistics against the definition in float64, the eval-mode layer, and autograd."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.ops.batch_statistics import batch_norm_with_statistics, batch_statistics

SHAPES = [(7, 5), (6, 3, 4), (4, 6, 5, 3), (8, 16, 8, 8), (3, 4, 2, 3, 5), (2, 1100, 2, 2)]
LAYOUTS = ["contiguous", "channels last", "strided"]


def activation(shape, *, layout="contiguous", dtype=torch.float32, seed=0, mean=0.0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=draw, dtype=torch.float64) + mean
    x = x.to(dtype)
    if layout == "channels last":
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "strided":
        return torch.stack([x, x + 1], dim=-1)[..., 0]
    return x


def definition(x):
    """Mean and biased variance by channel, one channel after the other, in float64."""
    channels = [x[:, c].double() for c in range(x.shape[1])]
    mean = torch.stack([c.sum() / c.numel() for c in channels])
    var = torch.stack([((c - m) ** 2).sum() / c.numel() for c, m in zip(channels, mean)])
    return mean, var


def layer_state(channels, *, dtype=torch.float32):
    draw = torch.Generator().manual_seed(9)
    state = torch.rand(4, channels, generator=draw, dtype=torch.float64) + 0.2
    state[3] -= 0.7
    return tuple(row.to(dtype) for row in state)  # mean, var, weight, bias


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_both_operations_give_the_statistics_of_the_definition(shape, layout, dtype):
    x = activation(shape, layout=layout, dtype=dtype)
    mean, var = definition(x)
    running_mean, running_var, *_ = layer_state(
        shape[1], dtype=torch.promote_types(dtype, torch.float32)
    )
    _, *fused = batch_norm_with_statistics(x, running_mean, running_var)
    for given in (batch_statistics(x), fused):
        assert given[0].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(given[0].double(), mean, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(given[1].double(), var, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(("mean", "scale"), [(30.0, 1.0), (0.0, 1e-4), (1.0, 1e-2)])
def test_many_values_far_from_zero_or_close_together_stay_exact(mean, scale):
    # 65,536 values a channel: running float32 sums are off by 1e-4 deviations here.
    x = (activation((64, 16, 32, 32), layout="channels last") * scale).add_(mean)
    expected_mean, expected_var = definition(x)
    given_mean, given_var = batch_statistics(x)
    assert ((given_mean - expected_mean).abs() / expected_var.sqrt()).max() < 3e-5 * (
        1 + mean / scale / 30
    )
    assert ((given_var - expected_var).abs() / expected_var).max() < 1e-5


@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_output_is_that_of_the_eval_mode_layer_bit_for_bit(layout, dtype):
    x = activation((4, 6, 5, 3), layout=layout, dtype=dtype)
    mean, var, weight, bias = layer_state(6)
    output, _, _ = batch_norm_with_statistics(x, mean, var, weight, bias, 1e-3)
    expected = F.batch_norm(x, mean, var, weight, bias, False, 0.1, 1e-3)
    assert torch.equal(output, expected)
    assert output.dtype == dtype
    assert output.stride() == x.stride()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 4), (2, 3, 2, 3)])
def test_gradients_pass_gradcheck(shape, layout):
    x = activation(shape, layout=layout, dtype=torch.float64).requires_grad_()
    mean, var, weight, bias = layer_state(shape[1], dtype=torch.float64)
    assert torch.autograd.gradcheck(batch_statistics, [x])
    assert torch.autograd.gradcheck(lambda x: batch_norm_with_statistics(x, mean, var), [x])
    trained = [x, weight.requires_grad_(), bias.requires_grad_()]
    assert torch.autograd.gradcheck(
        lambda x, weight, bias: batch_norm_with_statistics(x, mean, var, weight, bias), trained
    )


@pytest.mark.parametrize("used", ["output", "mean", "var", "output and mean", "mean and var"])
def test_outputs_that_nobody_uses_add_nothing(used):
    mean, var, weight, bias = layer_state(16)
    gradients = []
    for fused in (True, False):
        x = activation((8, 16, 8, 8), layout="channels last").requires_grad_()
        if fused:
            parts = batch_norm_with_statistics(x, mean, var, weight, bias)
        else:
            y = F.batch_norm(x, mean, var, weight, bias)
            parts = (y, x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0))
        named = zip(("output", "mean", "var"), parts)
        loss = sum((part**3).sum() for name, part in named if name in used.split(" and "))
        gradients.append(torch.autograd.grad(loss, x)[0])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
def test_half_width_gradient_is_exact_up_to_its_own_rounding(layout):
    # Mean 8, deviation 1: a * x + b is a small difference, and would lose two digits in bfloat16.
    x = activation((8, 16, 8, 8), layout=layout, dtype=torch.bfloat16, mean=8.0)
    mean, var, weight, bias = layer_state(16)
    exact = x.double().requires_grad_()
    loss = (exact.mean((0, 2, 3)) ** 2).sum() + (exact.var((0, 2, 3), correction=0) ** 2).sum()
    (expected,) = torch.autograd.grad(loss, exact)
    given = x.clone().requires_grad_()
    _, *statistics = batch_norm_with_statistics(given, mean, var, weight, bias)
    (gradient,) = torch.autograd.grad(sum((s**2).sum() for s in statistics), given)
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(gradient.double(), expected, rtol=2**-8, atol=1e-7)


def test_distance_near_convergence_keeps_its_value_and_direction():
    # Statistics and targets agree in three digits: the distance is what is left of them.
    x = activation((64, 16, 16, 16), layout="channels last", mean=10.0)
    mean, var = definition(x)
    draw = torch.Generator().manual_seed(3)
    target_mean = mean + 1e-3 * torch.randn(16, generator=draw)
    target_var = var * (1 + 1e-3 * torch.randn(16, generator=draw))

    def distance(mean, var):
        return (mean - target_mean.to(mean)).norm() + (var - target_var.to(var)).norm()

    exact = x.double().requires_grad_()
    expected = distance(exact.mean((0, 2, 3)), exact.var((0, 2, 3), correction=0))
    given = x.clone().requires_grad_()
    loss = distance(*batch_statistics(given))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-2)
    gradients = [
        torch.autograd.grad(*pair)[0].flatten() for pair in ((loss, given), (expected, exact))
    ]
    assert F.cosine_similarity(gradients[0].double(), gradients[1], dim=0) > 0.9999


def test_running_statistics_stay_and_an_in_place_activation_may_follow():
    x = activation((4, 6, 5, 3)).requires_grad_()
    state = layer_state(6)
    before = [tensor.clone() for tensor in state]
    output, mean, var = batch_norm_with_statistics(x, *state)
    (F.relu(output, inplace=True).sum() + mean.sum() + var.sum()).backward()
    assert all(map(torch.equal, state, before))
    reference = activation((4, 6, 5, 3)).requires_grad_()
    y = F.relu(F.batch_norm(reference, *state))
    (
        y.sum() + reference.mean((0, 2, 3)).sum() + reference.var((0, 2, 3), correction=0).sum()
    ).backward()
    torch.testing.assert_close(x.grad, reference.grad)


def test_refusals():
    with pytest.raises(InputError, match=r"batch, channels.*\(3,\)"):
        batch_statistics(torch.zeros(3))
    with pytest.raises(InputError, match="at least one"):
        batch_statistics(torch.zeros(0, 3))
    with pytest.raises(InputError, match="int64"):
        batch_norm_with_statistics(torch.zeros(2, 3, dtype=torch.long), *layer_state(3))
    mean, var, *_ = layer_state(3)
    with pytest.raises(InputError, match="detached"):
        batch_norm_with_statistics(torch.zeros(2, 3), mean.requires_grad_(), var)


def test_second_derivative_is_refused_rather_than_wrong():
    x = activation((4, 3), dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad((batch_statistics(x)[1] ** 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
