"""Teachers trained on the spot, kept in the cache folder."""

from __future__ import annotations

import hashlib

import torch
from torch import nn
from torch.nn import functional as F

from bequest.data import ImageData, cache_folder
from bequest.memory.replay import to_floats
from bequest.nn import zoo
from bequest.nn.normalize import Normalized
from bequest.nn.weights import load_weights, save_weights
from bequest.ops.augment import random_crop_flip
from bequest.run import Run
from bequest.synthesis.learner import cosine

_VERSION = 1


def trained_classifier(
    name: str,
    images: ImageData,
    *,
    epochs: int,
    seed: int,
    run: Run,
    batch_size: int = 128,
    learning_rate: float = 0.1,
) -> nn.Module:
    """A zoo network trained on the data set's training images: SGD, cosine, crops and flips.

    The same arguments give the same network; it is kept in the cache folder. The run lends its
    device and precision only: its budget, steps and random state are left alone.
    """
    key = f"{_VERSION}/{name}/{images.name}/{epochs}/{seed}/{batch_size}/{learning_rate}/" + (
        f"{run.device.type}/{run.precision}"
    )
    path = (
        cache_folder() / "teachers" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = zoo.build(name, num_classes=images.num_classes, in_channels=images.image_size[0])
    if path.exists():
        load_weights(network, path)
        return network.eval()
    rng = torch.Generator(run.device).manual_seed(seed)
    model = run.place(Normalized(network, images.mean, images.std)).train()
    pixels = images.train_images.to(run.device)
    labels = images.train_labels.to(run.device)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=learning_rate, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    per_epoch = len(pixels) // batch_size
    for step in range(epochs * per_epoch):
        if step % per_epoch == 0:
            order = torch.randperm(len(pixels), generator=rng, device=run.device)
        start = step % per_epoch * batch_size
        chosen = order[start : start + batch_size]
        padding = 4 if images.image_size[-1] >= 28 else 1
        batch = random_crop_flip(pixels[chosen], rng, padding=padding, flip=images.mirrored)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine(step / (epochs * per_epoch))
        with run.autocast():
            logits = model(to_floats(batch))
        loss = F.cross_entropy(logits.float(), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    network.zero_grad(set_to_none=True)
    if run.is_main:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights(network, path)
    return network.eval()
