"""Looking into networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.errors import BequestError, InputError
from bequest.nn import zoo
from bequest.nn.inspection import (
    FeatureTap,
    batch_norm_layers,
    check_network,
    penultimate_layer,
)


class Changed(nn.Module):
    """A small classifier whose forward pass a test changes."""

    def __init__(self, change: str = "") -> None:
        super().__init__()
        self.change = change
        self.bn = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(3, 4)
        self.register_buffer("calls", torch.zeros(()))
        self.cache: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> object:
        self.calls += 1
        if self.change == "buffer":
            self.calls = torch.full((), 7.0)
        self.cache = images.new_ones(3) if self.cache is None else self.cache
        logits = self.fc(self.dropout(self.bn(images).mean((2, 3))) * self.cache)
        if self.change == "draw":
            logits = logits + torch.rand(())
        outputs = {"tuple": (logits,), "nan": logits / 0 * 0, "map": images}
        return outputs.get(self.change, logits)


def check(network: nn.Module, *, size: tuple[int, int, int] = (3, 8, 8), classes: int = 4) -> None:
    check_network(network, image_size=size, num_classes=classes, name="teacher")


def test_penultimate_layer_is_the_last_linear() -> None:
    network = zoo.build("lenet5_bn", num_classes=5)
    assert penultimate_layer(network) is network.fc2
    with pytest.raises(InputError, match=r"Conv2d has no nn\.Linear"):
        penultimate_layer(nn.Conv2d(1, 1, 1))


def test_batch_norm_layers_are_those_with_statistics() -> None:
    network = nn.Sequential(
        nn.BatchNorm1d(2),
        nn.BatchNorm2d(2, track_running_stats=False),
        nn.InstanceNorm2d(2, track_running_stats=True),
        nn.GroupNorm(1, 2),
        nn.Sequential(nn.BatchNorm2d(3)),
    )
    assert list(batch_norm_layers(network)) == ["0", "4.0"]
    assert batch_norm_layers(nn.Linear(1, 1)) == {}


def test_tap_keeps_what_enters_the_layer_with_its_gradient() -> None:
    network = zoo.build("convnet4", num_classes=3).eval()
    head = penultimate_layer(network)
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    with FeatureTap(head) as tap:
        logits = network(images)
    assert tap.value.shape == (2, 16)
    torch.testing.assert_close(head(tap.value), logits)
    (gradient,) = torch.autograd.grad(tap.value.sum(), images)
    assert gradient.abs().sum() > 0
    before = tap.value
    network(torch.rand(2, 3, 8, 8))  # Outside: no longer listening.
    assert tap.value is before


def test_tap_is_safe_with_layers_in_place() -> None:
    network = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    with FeatureTap(network[1]) as tap:
        network(torch.tensor([-1.0, 2.0]))
    assert tap.value.tolist() == [-1.0, 2.0]


def test_tap_says_when_nothing_came() -> None:
    with FeatureTap(nn.Linear(1, 1)) as tap:
        pass
    with pytest.raises(BequestError, match="Linear was not called while the tap was open"):
        _ = tap.value


def test_check_leaves_no_trace() -> None:
    network = Changed("buffer")
    network.train()
    network.bn.eval()  # A flag of its own, as of a frozen layer.
    calls = network.calls
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(0)
    random = torch.get_rng_state()
    check(network)
    assert network.training
    assert network.dropout.training
    assert not network.bn.training
    assert network.calls is calls
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    # What the network has cached can still take part in training.
    network(torch.rand(2, 3, 8, 8)).sum().backward()


def test_check_puts_random_numbers_back_when_the_network_draws() -> None:
    network = Changed("draw")
    random = torch.get_rng_state()
    check(network)
    assert torch.equal(torch.get_rng_state(), random)


def test_check_restores_flags_after_an_error() -> None:
    network = Changed().train()
    with pytest.raises(InputError):
        check(network, size=(1, 8, 8))
    assert network.training
    assert network.calls == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tuple", "one tensor of logits, not a tuple"),
        ("nan", "teacher gives NaN or infinite logits"),
        ("map", r"shape \(2, 3, 8, 8\), not \(2, 4\)"),
    ],
)
def test_check_refuses_outputs_that_are_no_logits(change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(Changed(change))


def test_check_names_another_class_count() -> None:
    with pytest.raises(InputError, match=r"the teacher gives .* \(2, 4\), not \(2, 10\)"):
        check(Changed(), classes=10)


def test_check_passes_on_the_error_of_the_network() -> None:
    with pytest.raises(InputError, match=r"two images of 1x8x8 \(RuntimeError: .*3"):
        check(Changed(), size=(1, 8, 8))


def test_check_names_weights_that_are_not_finite() -> None:
    network = Changed()
    network.fc.weight.data[0, 0] = float("nan")
    network.bn.running_var[1] = float("inf")
    with pytest.raises(InputError, match=r"2 tensors: fc\.weight, bn\.running_var"):
        check(network)


def test_check_refuses_layers_without_a_shape_and_sizes_without_sense() -> None:
    with pytest.raises(InputError, match="run it once"):
        check(nn.Sequential(nn.Flatten(), nn.LazyLinear(4)))
    with pytest.raises(InputError, match="channels x height x width, not '3x0x8'"):
        check(Changed(), size=(3, 0, 8))


def test_check_uses_the_precision_of_the_network() -> None:
    check(Changed().to(torch.float64))
