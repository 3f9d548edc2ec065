"""Digits on a canvas, found by a network whose head is no classifier.

Each canvas is a grid of two by two cells with two handwritten digits of different classes in two
of the cells, at half their size and shifted at random. The head gives a heat map for each class;
the place of its maximum is where that digit should be. What is measured is how many of the digits
that are there are found within one step of the map: a keypoint score, not a classification.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.data import ImageData
from bequest.memory.replay import to_bytes, to_floats
from bequest.nn import zoo
from bequest.nn.normalize import Normalized
from bequest.run import Run
from bequest.studies.teachers import descend, kept
from bequest.synthesis.observer import Monitor, predict

CANVAS = (1, 40, 40)
_CELL, _DIGIT = 20, 14
_STRIDE = 4
_VERSION = 1


class KeypointNetwork(nn.Module):
    """A residual backbone of stride 4 and a head that gives a heat map for each class.

    Args:
        num_classes: Heat maps.
        in_channels: Of the images.
    """

    def __init__(self, *, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        trunk = zoo.build("resnet8", num_classes=num_classes, in_channels=in_channels)
        layers = {name: getattr(trunk, name) for name in ("conv1", "bn1")}
        layers["relu"] = nn.ReLU(inplace=True)
        layers |= {name: getattr(trunk, name) for name in ("layer1", "layer2", "layer3")}
        self.backbone = nn.Sequential(OrderedDict(layers))
        self.head = nn.Sequential(
            nn.Conv2d(64, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, num_classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, channels, height, width)` to `(batch, classes, height / 4, width / 4)`."""
        return self.head(self.backbone(images))


def compose(
    digits: Tensor, labels: Tensor, *, count: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Canvases with two digits each.

    Args:
        digits: uint8 `(number, 1, 28, 28)`.
        labels: `(number,)`.
        count: Canvases.
        seed: Decides which digits, and where.

    Returns:
        Canvases uint8 `(count, 1, 40, 40)`, classes `(count, 2)`, and the places of the digits in
        the heat map of stride 4, counted row by row, `(count, 2)`.
    """
    rng = torch.Generator().manual_seed(seed)
    first = torch.randint(len(digits), (count,), generator=rng)
    tries = torch.randint(len(digits), (count, 32), generator=rng)
    other = (labels[tries] != labels[first, None]).int().argmax(1)
    chosen = torch.stack([first, tries[torch.arange(count), other]], dim=1)
    cells = torch.rand(count, 4, generator=rng).argsort(1)[:, :2]
    shifts = torch.randint(_CELL - _DIGIT + 1, (count, 2, 2), generator=rng)
    corners = torch.stack([cells // 2, cells % 2], dim=-1) * _CELL + shifts  # (count, 2, y and x)
    small = F.avg_pool2d(to_floats(digits), 2)
    canvases = torch.zeros(count, *CANVAS)
    reach = torch.arange(_DIGIT)
    rows = (corners[..., :1] + reach)[:, :, :, None]
    columns = (corners[..., 1:] + reach)[:, :, None, :]
    index = torch.arange(count)[:, None, None, None]
    canvases[index, 0, rows, columns] = small[chosen][:, :, 0]
    centres = (corners + _DIGIT // 2) // _STRIDE
    places = centres[..., 0] * (CANVAS[2] // _STRIDE) + centres[..., 1]
    return to_bytes(canvases), labels[chosen], places


def found(heat: Tensor, classes: Tensor, places: Tensor) -> Tensor:
    """The share of digits whose heat map peaks within one step of their place, in [0, 1].

    Args:
        heat: `(batch, classes, height, width)`.
        classes: `(batch, 2)`.
        places: `(batch, 2)`, row by row.
    """
    width = heat.shape[3]
    peaks = heat.flatten(2).argmax(2).gather(1, classes)
    down = (peaks // width - places // width).abs()
    right = (peaks % width - places % width).abs()
    return ((down <= 1) & (right <= 1)).float().mean()


def trained_keypoint_network(
    images: ImageData, *, canvases: int, epochs: int, seed: int, run: Run, batch_size: int = 64
) -> nn.Module:
    """A keypoint network for canvases of the data set's training images, kept in the cache folder.

    A teacher of another kind than `studies.teachers`, with another loss: for each digit the
    cross-entropy over the places of the heat map of its class.
    """
    key = f"keypoints/{_VERSION}/{images.name}/{canvases}/{epochs}/{seed}/{batch_size}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = KeypointNetwork(num_classes=images.num_classes)

    def train() -> None:
        data = compose(images.train_images, images.train_labels, count=canvases, seed=seed)
        pixels, classes, places = (part.to(run.device) for part in data)
        model = run.place(Normalized(network, images.mean, images.std)).train()

        def loss(chosen: Tensor) -> Tensor:
            with run.autocast():
                heat = model(to_floats(pixels[chosen])).float().flatten(2)
            index = classes[chosen][:, :, None].expand(-1, -1, heat.shape[2])
            of_class = heat.gather(1, index).flatten(0, 1)
            return F.cross_entropy(of_class, places[chosen].flatten())

        descend(
            network,
            loss,
            count=canvases,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=0.05,
            rng=torch.Generator(run.device).manual_seed(seed),
        )

    return kept(network, key, train, run)


def keypoint_monitor(images: ImageData, run: Run, *, count: int = 1000) -> Monitor:
    """`score`, the share of digits found on canvases of test images, in percent."""
    data = compose(images.test_images, images.test_labels, count=count, seed=0)
    pixels, classes, places = (part.to(run.device) for part in data)

    def monitor(network: nn.Module) -> dict[str, float]:
        heat = predict(network, pixels, run, batch_size=250)
        return {"score": 100 * found(heat, classes, places).item()}

    return monitor
