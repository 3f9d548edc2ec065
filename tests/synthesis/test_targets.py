"""What the teacher should see: targets by hand, and the inversion with maps."""

from __future__ import annotations

import pytest
import torch

from bequest.nn.modes import frozen
from bequest.nn.unet import UNet
from bequest.run import Run
from bequest.synthesis.generators import ImageGenerator
from bequest.synthesis.map_observer import label_maps, paint, palette
from bequest.synthesis.meta_inversion import InversionSettings, MetaInversion
from bequest.synthesis.targets import ClassTargets, OwnTargets, PatchTargets


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_a_class_an_image() -> None:
    drawn = ClassTargets(4).draw(6, generator())
    assert torch.equal(drawn, torch.randint(4, (6,), generator=generator()))
    logits = torch.randn(6, 4)
    expected = [-torch.log_softmax(one, 0)[c].item() for one, c in zip(logits, drawn)]
    assert ClassTargets(4).loss(logits, drawn).tolist() == pytest.approx(expected, rel=1e-5)


def test_patches_are_of_one_class_and_cut_at_the_edge() -> None:
    maps = PatchTargets(50, (7, 10), patch=4).draw(3, generator())
    assert maps.shape == (3, 7, 10)
    for image in maps:
        for top in (0, 4):
            for left in (0, 4, 8):
                assert len(image[top : top + 4, left : left + 4].unique()) == 1
    assert len(maps.unique()) > 10


def test_the_loss_of_a_map_is_the_mean_over_its_pixels() -> None:
    targets = PatchTargets(3, (2, 4), patch=2)
    maps, logits = targets.draw(2, generator()), torch.randn(2, 3, 2, 4)
    log_p = logits.log_softmax(1)
    by_hand = [
        -sum(log_p[i, maps[i, r, c], r, c].item() for r in range(2) for c in range(4)) / 8
        for i in range(2)
    ]
    assert targets.loss(logits, maps).tolist() == pytest.approx(by_hand, rel=1e-5)


def test_own_targets_are_the_most_likely_classes() -> None:
    logits = torch.randn(2, 3, 2, 4)
    own = OwnTargets()
    expected = -logits.log_softmax(1).amax(1).mean((1, 2))
    assert own.draw(2, generator()).shape == (2, 0)
    torch.testing.assert_close(own.loss(logits, own.draw(2, generator())), expected)


def test_label_maps_by_hand() -> None:
    logits = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]]])
    kept = label_maps(logits)
    assert kept["labels"].tolist() == [[[0, 1]]]
    assert kept["labels"].dtype == torch.uint8
    assert kept["histogram"].tolist() == [[1.0, 1.0, 0.0]]
    top = logits.softmax(1)
    assert kept["confidence"].item() == pytest.approx(
        (top[0, 0, 0, 0].item() + top[0, 1, 0, 1].item()) / 2
    )


def test_classes_have_colours_and_what_is_ignored_is_black() -> None:
    colours = palette(12)
    assert len({tuple(colour) for colour in colours.tolist()}) == 12
    painted = paint(torch.tensor([[[0, 11, 255]]], dtype=torch.uint8), colours)
    assert painted.shape == (1, 3, 1, 3)
    torch.testing.assert_close(painted[0, :, 0, 1], colours[11])
    assert painted[0, :, 0, 2].sum() == 0


@pytest.mark.parametrize("targets", [PatchTargets(3, (8, 8), patch=4), OwnTargets()])
def test_inversion_lowers_the_task_term_of_pixels(targets: PatchTargets | OwnTargets) -> None:
    settings = InversionSettings(
        steps=8,
        lr_generator=1e-2,
        lr_latent=1e-2,
        bn_weight=0.0,
        task_weight=1.0,
        adversarial_weight=1.0,
        bn_momentum=0.9,
        crop_padding=0,
        flip=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher, student = (UNet(width=4, num_classes=3, in_channels=1, depth=1) for _ in range(2))
        for _ in range(3):
            teacher(torch.rand(16, 1, 8, 8))
        teacher.eval()
        source = ImageGenerator(6, (1, 8, 8), width=4).train()
    with Run(device="cpu", precision="fp32") as run, frozen(teacher):
        inversion = MetaInversion(
            teacher, student, source, num_classes=3, settings=settings, run=run, targets=targets
        )
        tasks = [inversion(16, adversarial=i > 3)[1]["task"].item() for i in range(6)]
    assert tasks[-1] < tasks[0]
