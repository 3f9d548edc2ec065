"""The BatchNorm prior against a plain restatement with hooks, and what it must leave alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.nn.normalize import Normalized
from bequest.synthesis.statistics import BatchNormStatistics


class NormThenDouble(nn.BatchNorm2d):
    """A layer that does more than its base class, as libraries of networks have them."""

    def forward(self, input):
        return 2 * super().forward(input)


def small_teacher(*, norm=nn.BatchNorm2d, dimensions=2):
    convolution = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher = nn.Sequential(
            convolution(3, 6, 3, padding=1),
            norm(6),
            nn.ReLU(inplace=True),
            convolution(6, 8, 3),
            norm(8),
            nn.Flatten(),
            nn.Linear(8 * 4**dimensions, 5),
            nn.BatchNorm1d(5),
        )
        for layer in teacher.modules():
            if hasattr(layer, "running_mean"):
                nn.init.normal_(layer.running_mean)
                nn.init.uniform_(layer.running_var, 0.5, 2.0)
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    return teacher.eval()


def batch_of(seed=0, *, dimensions=2, count=16):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, *[6] * dimensions, generator=draw).requires_grad_()


def observed(teacher, images):
    """Mean and variance that each BatchNorm layer sees, by hooks and plain float64 arithmetic."""
    found = {}

    def hook(name):
        def keep(layer, inputs):
            x = inputs[0].double().movedim(1, 0).flatten(1)
            found[name] = x.mean(1), ((x - x.mean(1, keepdim=True)) ** 2).mean(1)

        return keep

    layers = {n: m for n, m in teacher.named_modules() if hasattr(m, "running_mean")}
    handles = [m.register_forward_pre_hook(hook(n)) for n, m in layers.items()]
    teacher(images)
    for handle in handles:
        handle.remove()
    return {name: (layers[name], *found[name]) for name in layers}


def plain_loss(teacher, images):
    return sum(
        (mean - layer.running_mean).norm() + (var - layer.running_var).norm()
        for layer, mean, var in observed(teacher, images).values()
    )


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, NormThenDouble, nn.SyncBatchNorm])
@pytest.mark.parametrize("channels_last", [False, True])
def test_loss_output_and_image_gradient_are_those_of_plain_hooks(norm, channels_last):
    teacher = small_teacher(norm=norm)
    if channels_last:
        teacher = teacher.to(memory_format=torch.channels_last)
    images = batch_of()
    expected = plain_loss(teacher, images)
    (expected_gradient,) = torch.autograd.grad(expected, images)
    with BatchNormStatistics(teacher) as statistics:
        logits = teacher(images)
        loss = statistics.loss()
    (gradient,) = torch.autograd.grad(loss, images)
    assert statistics.layers == ("1", "4", "7")
    assert torch.equal(logits, teacher(images))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("dimensions", "norm"), [(1, nn.BatchNorm1d), (3, nn.BatchNorm3d)])
def test_sequences_and_volumes(dimensions, norm):
    teacher = small_teacher(norm=norm, dimensions=dimensions)
    images = batch_of(dimensions=dimensions)
    with BatchNormStatistics(teacher) as statistics:
        teacher(images)
        loss = statistics.loss().item()
    assert loss == pytest.approx(plain_loss(teacher, images).item(), rel=1e-5)


def test_perfect_match_has_no_loss_and_no_gradient():
    teacher = nn.Sequential(nn.BatchNorm2d(3)).eval()
    images = torch.tensor([0.0, 2.0]).view(2, 1, 1, 1).repeat(1, 3, 1, 1).requires_grad_()
    teacher[0].running_mean.fill_(1.0)
    with BatchNormStatistics(teacher) as statistics:
        teacher(images)
        loss = statistics.loss()
    loss.backward()
    assert loss.item() < 1e-12
    assert torch.equal(images.grad, torch.zeros_like(images))


def test_history_smooths_the_statistics_and_only_the_batch_has_a_gradient():
    teacher, batches = small_teacher(), [batch_of(seed) for seed in range(3)]
    statistics = BatchNormStatistics(teacher, momentum=0.9)
    history = None
    for images in batches:
        with statistics:
            teacher(images)
            loss = statistics.loss()
        expected, smoothed = 0.0, {}
        for name, (layer, mean, var) in observed(teacher, images).items():
            if history is not None:
                mean = 0.1 * mean + 0.9 * history[name][0]
                var = 0.1 * var + 0.9 * history[name][1]
            smoothed[name] = mean.detach(), var.detach()
            expected = expected + (mean - layer.running_mean).norm()
            expected = expected + (var - layer.running_var).norm()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        gradients = [torch.autograd.grad(value, images)[0] for value in (loss, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)
        statistics.update_history()
        history = smoothed


def test_history_changes_only_when_told_and_never_without_momentum():
    teacher, first, second = small_teacher(), batch_of(1), batch_of(2)

    def losses(momentum, *, update):
        statistics, values = BatchNormStatistics(teacher, momentum=momentum), []
        for images in (first, second, second):
            with statistics:
                teacher(images)
                values.append(statistics.loss().item())
            if update:
                statistics.update_history()
        return values

    alone = losses(0.0, update=True)
    assert alone[1] == alone[2]
    assert losses(0.9, update=False) == alone
    assert len(set(losses(0.9, update=True))) == 3


def test_state_goes_through_a_checkpoint_and_reset_forgets_it():
    teacher, first, second = small_teacher(), batch_of(1), batch_of(2)

    def step(statistics, images):
        with statistics:
            teacher(images)
            return statistics.loss().item()

    one = BatchNormStatistics(teacher, momentum=0.5)
    assert one.state_dict() == {}
    step(one, first)
    one.update_history()
    other = BatchNormStatistics(teacher, momentum=0.5)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert {name: tuple(t.shape) for name, t in one.state_dict().items()} == {
        "1": (2, 6),
        "4": (2, 8),
        "7": (2, 5),
    }
    assert step(other, second) == step(one, second)
    other.reset()
    assert step(other, second) == step(BatchNormStatistics(teacher), second)
    with pytest.raises(InputError, match="another teacher"):
        BatchNormStatistics(nn.BatchNorm1d(6).eval(), momentum=0.5).load_state_dict(
            one.state_dict()
        )
    with pytest.raises(InputError, match=r"'1' .* \(2, 4\)"):
        other.load_state_dict({"1": torch.zeros(2, 4)})


def test_trained_affine_parameters_get_their_gradients():
    teacher = small_teacher()
    with BatchNormStatistics(teacher):
        teacher(batch_of()).square().sum().backward()
    given = {name: p.grad.clone() for name, p in teacher.named_parameters()}
    teacher.zero_grad()
    teacher(batch_of()).square().sum().backward()
    for name, parameter in teacher.named_parameters():
        torch.testing.assert_close(given[name], parameter.grad, rtol=1e-4, atol=1e-4)


def test_bfloat16_autocast_gives_a_float32_loss_close_to_the_exact_one():
    teacher = small_teacher().to(memory_format=torch.channels_last)
    images = batch_of()
    with BatchNormStatistics(teacher) as statistics, torch.autocast("cpu", torch.bfloat16):
        teacher(images)
        loss = statistics.loss()
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(plain_loss(teacher, images).item(), rel=1e-2)


def test_wrapped_teachers(tmp_path):
    inner, images = small_teacher(), batch_of()
    normalized = Normalized(inner, [0.4], [0.2]).eval()
    with BatchNormStatistics(normalized) as statistics:
        normalized(images)
        loss = statistics.loss().item()
    assert statistics.layers == ("network.1", "network.4", "network.7")
    assert loss == pytest.approx(plain_loss(inner, (images - 0.4) / 0.2).item(), rel=1e-5)

    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(inner).eval()
        with BatchNormStatistics(parallel) as statistics:
            parallel(images)
            loss = statistics.loss().item()
    finally:
        torch.distributed.destroy_process_group()
    assert statistics.layers == ("1", "4", "7")
    assert loss == pytest.approx(plain_loss(inner, images).item(), rel=1e-5)


def test_last_pass_counts_and_layers_out_of_its_way_do_not():
    teacher = small_teacher()
    last, half = plain_loss(teacher, batch_of(2)), plain_loss(teacher[:2], batch_of(1))
    with BatchNormStatistics(teacher) as statistics:
        teacher(batch_of(1))
        teacher(batch_of(2))
        assert statistics.loss().item() == pytest.approx(last.item(), rel=1e-5)
        teacher[:2](batch_of(1))
        assert statistics.loss().item() == pytest.approx(half.item(), rel=1e-5)
