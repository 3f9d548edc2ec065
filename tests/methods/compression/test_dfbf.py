from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.methods.base import change
from bequest.methods.compression.dfbf import DFBF
from bequest.nn import zoo
from bequest.nn.modes import frozen
from bequest.nn.narrow import RECORD, load_pruned, narrow, read_record
from bequest.nn.normalize import Normalized
from bequest.nn.taps import Taps, layout
from bequest.run import Budget, Run
from bequest.synthesis.host import Host
from bequest.synthesis.pixels import PixelBatches
from bequest.synthesis.reference import Reference
from bequest.testing import fingerprint

pytest.importorskip("torch_pruning", reason="torch-pruning is in bequest[compress]")
SIZE = (1, 8, 8)
TERMS = ("task", "bn", "tv", "l2")


class TwoHeads(nn.Module):
    """A network that is no classifier: a backbone, and two answers from it."""

    def __init__(self):
        super().__init__()
        trunk = network(3).network
        self.body = nn.Sequential(trunk.conv1, trunk.bn1, nn.ReLU(), trunk.layer1, trunk.layer2)
        self.boxes = nn.Conv2d(32, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images):
        features = self.body(images)
        return {"boxes": self.norm(self.boxes(features)), "mean": features.mean((2, 3))}


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = zoo.build("resnet8", num_classes=3, in_channels=1)
        for layer in built.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.3)
                layer.running_var.uniform_(0.5, 2)
    return Normalized(built, [0.3], [0.2]).eval()


def tiny(**changes):
    values = dict(sparsity=0.6, rule="uniform", min_channels=2, batches=2, synthesis_batch=16)
    values |= dict(inversion_steps=4, epochs=3, batch_size=8, jitter=1)
    return DFBF(**values | changes)


def fit(method, teacher=None, *, run=None, num_classes=3, **options):
    run = run or Run(seed=0, device="cpu", precision="fp32")
    with run:
        return method.fit(
            teacher if teacher is not None else network(),
            image_size=SIZE,
            num_classes=num_classes,
            run=run,
            **options,
        )


def weights(result, layer="layer1.0.conv1"):
    return result.model.network.get_submodule(layer).weight


def test_the_teacher_stays_and_the_student_is_smaller_with_the_same_head():
    teacher = network().train()
    before = fingerprint(teacher)
    run = Run(seed=0, device="cpu", precision="fp32")
    result = fit(tiny(), teacher, run=run, monitor=lambda n: {"score": float(n.training)})
    assert fingerprint(teacher) == before
    assert all(p.grad is None and p.requires_grad for p in teacher.parameters())
    assert all(m.training and not m._forward_hooks for m in teacher.modules())
    assert weights(result).shape[0] == 7
    head = result.model.network.linear
    assert torch.equal(head.weight, teacher.network.linear.weight)
    figures = result.metrics
    assert figures["parameters_after"] < figures["parameters_before"]
    assert figures["macs_after"] < figures["macs_before"]
    assert figures["removed_parameters"] > 10
    scores = {"unpruned_score", "pruned_score", "score", "agreement", "output_error"}
    assert scores <= set(figures)
    logged = {name for row in run.metrics.rows for name in row}
    assert {"task", "bn", "tv", "loss", "latency_ms_before", "latency_ms_after"} <= logged


def test_healing_brings_the_output_nearer_than_pruning_left_it():
    healed = fit(tiny(epochs=40, learning_rate=0.05))
    pruned = fit(tiny(epochs=0))
    assert healed.metrics["output_error"] < 0.9 * pruned.metrics["output_error"]
    # Without epochs nothing is made or trained: the weights are slices of the unpruned ones.
    rows = {tuple(row) for row in network().network.layer1[0].conv1.weight.flatten(1).tolist()}
    assert {tuple(row) for row in weights(pruned).flatten(1).tolist()} < rows
    assert "synthesis" not in pruned.flops


def test_any_head_will_do_and_is_not_touched():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher = Normalized(TwoHeads(), [0.3], [0.2]).train()
    result = fit(tiny(), teacher, num_classes=None, backbone="body")
    healed = result.model
    for part in ("boxes", "norm"):
        whole, ours = (getattr(m.network, part) for m in (teacher, healed))
        assert fingerprint(whole) == fingerprint(ours)
    shapes = {name: tuple(v.shape) for name, v in healed(torch.rand(2, *SIZE)).items()}
    assert shapes == {"boxes": (2, 4, 4, 4), "mean": (2, 32)}
    assert healed.network.body[3][0].conv1.out_channels == 7
    assert "agreement" not in result.metrics
    assert result.metrics["output_error"] > 0


def test_a_network_without_a_wrapper_takes_images_as_they_are():
    result = fit(tiny(), network().network)
    assert isinstance(result.model, type(network().network))


def test_the_run_leaves_what_loads_again(tmp_path):
    run = Run(tmp_path / "run", seed=0, device="cpu", precision="fp32")
    result = fit(tiny(), run=run)
    again = load_pruned(tmp_path / "run", copy.deepcopy(network().network))
    images = torch.rand(2, *SIZE)
    with torch.no_grad():
        ours = Normalized(again, [0.3], [0.2])(images)
        assert torch.allclose(ours, result.model(images), atol=1e-5)


def test_a_record_of_a_named_backbone_fits_the_whole_network(tmp_path):
    run = Run(tmp_path / "run", seed=0, device="cpu", precision="fp32")
    teacher = Normalized(TwoHeads(), [0.3], [0.2])
    fit(tiny(epochs=0), teacher, run=run, num_classes=None, backbone="body")
    layers = read_record(tmp_path / "run" / RECORD)["layers"]
    assert narrow(TwoHeads(), layers).body[3][0].conv1.out_channels == 7


def spied(method, **options):
    """The pixels as they are synthesised, and what was logged of them."""
    run = Run(seed=0, device="cpu", precision="fp32")
    host = Host(network())
    bank = method._first_images(host, SIZE, None, run)
    with run, frozen(host.network):
        method.synthesise(host, bank, run=run, **{"num_classes": 3, **options})
    return bank, run.metrics.rows


@pytest.mark.parametrize("term", TERMS)
def test_each_term_alone_falls_and_is_logged_by_name(term):
    off = {f"{name}_weight": 0.0 for name in TERMS}
    method = tiny(**off | {f"{term}_weight": 1.0}, batches=1, inversion_steps=30, jitter=0)
    _, rows = spied(method)
    values = [row[term] for row in rows if term in row]
    assert values[-1] < values[0]
    logged = {name for row in rows for name in row}
    assert logged & set(TERMS) == {term}


def test_without_classes_the_backbone_alone_is_inverted():
    _, rows = spied(tiny(), num_classes=None)
    assert not any("task" in row for row in rows)


def test_images_start_as_the_noise_of_the_noise_arm():
    run = Run(seed=0, device="cpu", precision="fp32")
    host = Host(network())
    noise = tiny(images="noise")._first_images(host, SIZE, None, run)
    start = tiny()._first_images(host, SIZE, None, Run(seed=0, device="cpu", precision="fp32"))
    assert noise.dtype == torch.float32
    assert ((noise - 0.3) / 0.2).std().item() == pytest.approx(1, abs=0.05)
    assert (noise.clamp(0, 1) - start / 255).abs().max() < 0.5 / 255 + 1e-6
    images, _ = spied(tiny(inversion_steps=10))
    assert (images != start).float().mean() > 0.3


def pixels_of(bank, **options):
    values = dict(batch_size=2, steps=3, learning_rate=0.1, warm_up=0.34, betas=(0.9, 0.99))
    values |= dict(jitter=0, flip=False, half_steps=0)
    run = Run(seed=0, device="cpu", precision="fp32")
    return PixelBatches(
        bank, torch.tensor([0.5]), torch.tensor([0.25]), **values | options, run=run
    )


def test_the_batch_of_the_smallest_loss_is_kept_and_clamped():
    bank = torch.full((4, 1, 4, 4), 128, dtype=torch.uint8)
    pixels = pixels_of(bank, learning_rate=100.0)
    assert pixels.total_steps == 6
    for step in range(6):
        seen = pixels.look(step)
        assert seen.abs().max() <= 2
        # Best at the second look; the others are worse, whatever the pixels are.
        pixels.step(step, (0.0 if step % 3 == 1 else 9.0) + 1e-9 * seen.sum())
    # Adam's first step went down, to black, where the clamp holds it.
    assert torch.equal(bank, torch.zeros_like(bank))


def test_half_resolution_comes_first_with_half_the_jitter():
    bank = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    pixels = pixels_of(bank, half_steps=2, jitter=3)
    shapes = []
    for step in range(3):
        seen = pixels.look(step)
        shapes.append(tuple(seen.shape[2:]))
        pixels.step(step, seen.square().sum())
    assert shapes == [(4, 4), (4, 4), (8, 8)]


def test_the_rate_rises_then_falls_as_a_cosine():
    pixels = pixels_of(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), steps=20, warm_up=0.2)
    rates = [pixels._rate(place) for place in range(20)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert rates[12] == pytest.approx(0.5)
    assert rates == [*sorted(rates[:5]), *sorted(rates[5:], reverse=True)]


@pytest.mark.parametrize("largest", [0, 2**29])
def test_the_reference_is_the_unpruned_map_remembered_or_not(largest):
    host = Host(network())
    plan = layout(host.part, torch.rand(2, *SIZE))
    images = torch.randint(0, 256, (5, *SIZE), dtype=torch.uint8)
    with Run(seed=0, device="cpu", precision="fp32") as run, frozen(host.network):
        reference = Reference(host, plan.taps, images, run, largest=largest)
        assert reference.remembers == (largest > 0)
        seen, maps = reference.take(torch.tensor([3, 0]))
        with Taps(host.part, plan.taps) as taps:
            host.network(images[[3, 0]] / 255)
        expected = taps.values()
    assert torch.allclose(seen, (images[[3, 0]] / 255 - 0.3) / 0.2, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(maps, expected))


def test_statistics_are_renewed_or_kept():
    fresh = network().network.layer1[0].bn2.running_mean
    kept = fit(tiny(renew_statistics=False)).model.network.layer1[0].bn2.running_mean
    renewed = fit(tiny()).model.network.layer1[0].bn2.running_mean
    assert torch.equal(kept, fresh)
    assert not torch.equal(renewed, fresh)


def test_supervision_of_the_output_alone_gives_another_student():
    assert not torch.equal(weights(fit(tiny())), weights(fit(tiny(supervision="output"))))
    assert not torch.equal(weights(fit(tiny())), weights(fit(tiny(ramp=3.0))))


def test_real_images_are_taken_as_they_are():
    real = torch.randint(0, 256, (40, *SIZE), dtype=torch.uint8)
    method = tiny(images="real")
    result = fit(method, real_images=real)
    assert "synthesis" not in result.flops
    bank = method._first_images(Host(network()), SIZE, real, Run(device="cpu"))
    rows = {tuple(image.flatten().tolist()) for image in real}
    assert {tuple(image.flatten().tolist()) for image in bank} <= rows


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "needs real_images"),
        (torch.zeros(40, 1, 9, 8, dtype=torch.uint8), r"of size \(1, 9, 8\)"),
        (torch.zeros(40, *SIZE), "torch.float32"),
        (torch.zeros(31, *SIZE, dtype=torch.uint8), "need 32"),
    ],
)
def test_real_images_that_do_not_fit_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        fit(tiny(images="real"), real_images=given)


def test_a_backbone_without_batch_norm_is_refused_unless_its_statistics_are_not_asked():
    def plain():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
            head = [nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)]
            return nn.Sequential(*layers, *head)

    with pytest.raises(InputError, match="no BatchNorm layer"):
        fit(tiny(), plain())
    for fallback in (change(tiny(), bn_weight=0.0), change(tiny(), images="noise")):
        every_second = change(fallback, taps="1,5")
        assert fit(every_second, plain()).metrics["removed_parameters"] > 0


def test_an_unknown_backbone_gets_a_suggestion():
    with pytest.raises(InputError, match="no module to be the backbone 'layer4'"):
        fit(tiny(), backbone="layer4")


def test_a_budget_that_ends_inside_a_batch_keeps_what_was_reached():
    run = Run(seed=0, device="cpu", precision="fp32", budget=Budget(steps=2))
    assert torch.isfinite(weights(fit(tiny(), run=run))).all()


@pytest.mark.parametrize("phase", ["inversion", "healing"])
def test_a_broken_off_run_goes_on_to_the_same_weights(tmp_path, monkeypatch, phase):
    def broken(self, total, *, state, name="training", log_every=0):
        for step in original(self, total, state=state, name=name, log_every=log_every):
            if name == phase and step == 5:
                raise KeyboardInterrupt
            yield step

    original = Run.steps
    options = dict(seed=0, device="cpu", precision="fp32", checkpoint_seconds=0.0)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Run, "steps", broken)
        fit(tiny(), run=Run(tmp_path, **options))
    resumed = fit(tiny(), run=Run(tmp_path, resume=True, **options))
    whole = fit(tiny())
    assert fingerprint(resumed.model) == fingerprint(whole.model)
    assert resumed.metrics == whole.metrics
