"""Segmentation teachers trained on the spot, kept in the cache folder.

What differs from `studies.teachers` is that labels are of pixels: they move with crops and
mirrors, and some are ignored.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.data.label_maps import IGNORED, SegmentationData
from bequest.memory.replay import to_floats
from bequest.nn.normalize import Normalized
from bequest.nn.unet import UNet
from bequest.ops.augment import random_crop_flip
from bequest.run import Run
from bequest.studies.teachers import descend, kept

_VERSION = 1


def trained_segmenter(
    width: int,
    images: SegmentationData,
    *,
    depth: int,
    epochs: int,
    seed: int,
    run: Run,
    batch_size: int = 32,
    learning_rate: float = 0.1,
) -> nn.Module:
    """A U-Net trained on the training images: SGD, cosine, crops, mirrors where the data allow.

    The same arguments give the same network; it is kept in the cache folder. The run lends its
    device and precision only: its budget, steps and random state are left alone.
    """
    key = (
        f"{_VERSION}/unet/{width}/{depth}/{images.name}/{epochs}/{seed}/{batch_size}/"
        f"{learning_rate}"
    )
    network = untrained_segmenter(width, images, depth=depth, seed=seed)

    def train() -> None:
        rng = torch.Generator(run.device).manual_seed(seed)
        model = run.place(Normalized(network, images.mean, images.std)).train()
        pixels, labels = images.train_images.to(run.device), images.train_labels.to(run.device)

        def loss(chosen: Tensor) -> Tensor:
            batch, target = augmented(pixels[chosen], labels[chosen], rng, flip=images.mirrored)
            with run.autocast():
                logits = model(to_floats(batch))
            return F.cross_entropy(logits.float(), target.long(), ignore_index=IGNORED)

        descend(
            network,
            loss,
            count=len(pixels),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            rng=rng,
        )

    return kept(network, key, train, run)


def untrained_segmenter(width: int, images: SegmentationData, *, depth: int, seed: int) -> UNet:
    """A U-Net for these images, whose weights depend on the arguments alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(
            width=width,
            num_classes=images.num_classes,
            in_channels=images.image_size[0],
            depth=depth,
        )


def augmented(
    images: Tensor, labels: Tensor, rng: torch.Generator, *, padding: int = 2, flip: bool = True
) -> tuple[Tensor, Tensor]:
    """Crops and mirrors images `(batch, channels, height, width)` and their labels alike.

    What a crop brings in from outside the image has the label `IGNORED`.

    Returns:
        Both as they came, in shape and type.
    """
    # Cropping pads with 0, so that the ignored label must be 0 meanwhile.
    shifted = (labels - IGNORED).to(images.dtype)[:, None]
    both = random_crop_flip(torch.cat([images, shifted], 1), rng, padding=padding, flip=flip)
    return both[:, :-1], (both[:, -1] + IGNORED).to(labels.dtype)
