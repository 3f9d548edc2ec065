"""Segmentation teachers trained on the spot, kept in the cache folder.

What differs from `studies.teachers` is that labels are of pixels: they move with crops and
mirrors, and some are ignored.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.data import cache_folder
from bequest.data.label_maps import IGNORED, SegmentationData
from bequest.memory.replay import to_floats
from bequest.nn.normalize import Normalized
from bequest.nn.unet import UNet
from bequest.nn.weights import load_weights, save_weights
from bequest.ops.augment import random_crop_flip
from bequest.run import Run
from bequest.synthesis.learner import cosine

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
    key = f"{_VERSION}/unet/{width}/{depth}/{images.name}/{epochs}/{seed}/{batch_size}/" + (
        f"{learning_rate}/{run.device.type}/{run.precision}"
    )
    path = (
        cache_folder() / "teachers" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    )
    network = untrained_segmenter(width, images, depth=depth, seed=seed)
    if path.exists():
        load_weights(network, path)
        return network.eval()
    rng = torch.Generator(run.device).manual_seed(seed)
    model = run.place(Normalized(network, images.mean, images.std)).train()
    pixels, labels = images.train_images.to(run.device), images.train_labels.to(run.device)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=learning_rate, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    per_epoch = len(pixels) // batch_size
    for step in range(epochs * per_epoch):
        if step % per_epoch == 0:
            order = torch.randperm(len(pixels), generator=rng, device=run.device)
        start = step % per_epoch * batch_size
        chosen = order[start : start + batch_size]
        batch, target = augmented(pixels[chosen], labels[chosen], rng, flip=images.mirrored)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine(step / (epochs * per_epoch))
        with run.autocast():
            logits = model(to_floats(batch))
        loss = F.cross_entropy(logits.float(), target.long(), ignore_index=IGNORED)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    network.zero_grad(set_to_none=True)
    if run.is_main:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights(network, path)
    return network.eval()


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
