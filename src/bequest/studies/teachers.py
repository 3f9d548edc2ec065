"""Teachers trained on the spot, kept in the cache folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn
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
    key = f"{_VERSION}/{name}/{images.name}/{epochs}/{seed}/{batch_size}/{learning_rate}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = zoo.build(name, num_classes=images.num_classes, in_channels=images.image_size[0])

    def train() -> None:
        rng = torch.Generator(run.device).manual_seed(seed)
        model = run.place(Normalized(network, images.mean, images.std)).train()
        pixels = images.train_images.to(run.device)
        labels = images.train_labels.to(run.device)
        padding = 4 if images.image_size[-1] >= 28 else 1

        def loss(chosen: Tensor) -> Tensor:
            batch = random_crop_flip(pixels[chosen], rng, padding=padding, flip=images.mirrored)
            with run.autocast():
                logits = model(to_floats(batch))
            return F.cross_entropy(logits.float(), labels[chosen])

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


def kept(network: nn.Module, key: str, train: Callable[[], None], run: Run) -> nn.Module:
    """`network` as an earlier training left it, or trained now; kept in the cache folder.

    Args:
        network: Untrained; gets the weights.
        key: Everything that decides the weights, but device and precision of the run.
        train: Trains `network` in place; called only where nothing is kept.
        run: Lends device and precision.

    Returns:
        The network in eval mode.
    """
    name = hashlib.sha256(f"{key}/{run.device.type}/{run.precision}".encode()).hexdigest()[:16]
    path = cache_folder() / "teachers" / f"{name}.safetensors"
    if path.exists():
        load_weights(network, path)
        return network.eval()
    train()
    network.zero_grad(set_to_none=True)
    if run.is_main:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights(network, path)
    return network.eval()


def descend(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    *,
    count: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    rng: torch.Generator,
) -> None:
    """SGD with Nesterov momentum and a cosine over epochs of shuffled batches; the rest is left.

    Args:
        network: On the device of `rng`.
        loss: Of the samples at places `(batch_size,)`; a scalar.
        count: Samples.
        epochs: Passes over them.
        batch_size: Samples of a step.
        learning_rate: At the beginning.
        rng: Shuffles.
    """
    optimizer = torch.optim.SGD(
        network.parameters(), lr=learning_rate, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    per_epoch = count // batch_size
    for step in range(epochs * per_epoch):
        if step % per_epoch == 0:
            order = torch.randperm(count, generator=rng, device=rng.device)
        start = step % per_epoch * batch_size
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine(step / (epochs * per_epoch))
        value = loss(order[start : start + batch_size])
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
