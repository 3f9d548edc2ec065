"""Schedules by hand, a probe that can be solved, fine-tuning that learns."""

from __future__ import annotations

import pytest
import torch

from bequest.nn.normalize import Normalized
from bequest.nn.transformer_layers import LayerTap
from bequest.nn.vit import VisionTransformer
from bequest.run import Run
from bequest.synthesis.fine_tuning import FineTuner, FineTuning, linear_probe, mean_tokens
from bequest.synthesis.learner import warm_cosine
from bequest.synthesis.relation_report import RelationReport

SIZE = (1, 8, 8)


def classifier(**options: object) -> Normalized:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vit = VisionTransformer(
            image_size=SIZE, patch=4, dim=16, depth=2, heads=2, num_classes=2, pooling="mean"
        )
    return Normalized(vit, [0.5], [0.25])


def images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Light above or light below."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    pixels = torch.randint(100, (count, *SIZE), generator=rng)
    pixels[labels == 0, :, :4] += 150
    pixels[labels == 1, :, 4:] += 150
    return pixels.to(torch.uint8), labels


@pytest.mark.parametrize(
    ("fraction", "rate"),
    [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (0.325, 0.85355), (1.0, 0.0)],
)
def test_the_rate_is_a_line_up_and_half_a_cosine_down(fraction: float, rate: float) -> None:
    assert warm_cosine(fraction, 0.1) == pytest.approx(rate, abs=1e-5)


def test_without_warm_up_it_begins_at_the_top_and_all_warm_up_has_no_division_by_zero() -> None:
    assert warm_cosine(0.0, 0.0) == 1.0
    assert warm_cosine(1.0, 1.0) == 1.0


def test_fine_tuning_learns_and_sets_rates_by_layer() -> None:
    network, (pixels, labels) = classifier(), images(64)
    settings = FineTuning(
        steps=30, batch_size=64, learning_rate=5e-3, crop_padding=0, layer_decay=0.5
    )
    with Run(device="cpu", precision="fp32") as run:
        tuner = FineTuner(network, settings, run)
        losses = [tuner.step(pixels, labels, run.rng).item() for _ in run.steps(30, state={})]
    rates = {group["rate_scale"]: group["lr"] for group in tuner.optimizer.param_groups}
    assert set(rates) == {1.0, 0.5, 0.25, 0.125}
    assert all(rate == pytest.approx(scale * rates[1.0]) for scale, rate in rates.items())
    assert losses[0] == pytest.approx(0.693, abs=0.01), "the head begins at chance"
    assert losses[-1] < 0.4


def test_a_probe_solves_what_is_linear_whatever_its_scale() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(300, 5, generator=rng)
    labels = (features[:, 1] + 0.3 * features[:, 2] > 0).long()
    features = features * torch.tensor([1.0, 100.0, 1e-3, 1.0, 1.0]) + 7
    assert linear_probe(features[:200], labels[:200], features[200:], labels[200:]) > 0.9
    shuffled = labels[torch.randperm(300, generator=rng)]
    assert linear_probe(features[:200], shuffled[:200], features[200:], shuffled[200:]) < 0.65


def test_mean_tokens_are_behind_the_last_block_and_leave_the_mode() -> None:
    network, (pixels, _) = classifier(), images(5)
    network.train()
    with Run(device="cpu", precision="fp32") as run:
        found = mean_tokens(network, pixels, run, batch_size=2)
    expected = LayerTap(network).tokens(pixels.float() / 255)[:, 1:].mean(1)
    assert torch.allclose(found, expected, atol=1e-5)
    assert network.training


def test_a_network_correlates_with_itself_and_is_drawn() -> None:
    network, (pixels, _) = classifier(), images(3)
    with Run(device="cpu", precision="fp32") as run:
        same = RelationReport(LayerTap(network), LayerTap(network), heads=4, run=run)
        other = RelationReport(LayerTap(network), LayerTap(network, 1), heads=0, run=run)
        assert same.correlation(pixels, ("qk", "vv")) == {
            "relation_correlation": pytest.approx(1, abs=1e-5)
        }
        assert other.correlation(pixels, ("qk",), batch_size=2)["relation_correlation"] < 0.99
        picture = same.picture(pixels[:2], ("qk",))
    assert picture.shape[:2] == (1, 3)
    assert picture.min() < 0.5 < picture.max()
