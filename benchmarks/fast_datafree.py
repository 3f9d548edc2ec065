"""Driving a local checkout of zju-vipa/Fast-Datafree on a CPU, from outside.

The checkout has no licence: nothing of it is in here, and nothing in it is changed. To run its own
script on a CPU, one would edit (a) each `.cuda()` in `generator.py`, `fast_meta.py` and
`evaluators.py`, (b) the loader in `fast_meta.py`, which starts four processes whenever a batch is
made, (c) the package's `__init__` files and `registry.py`, which import segmentation networks and
parts of torchvision that are gone, (d) the registry's list of networks, which lacks the public
ResNet-20. Here its Generator, FastMetaSynthesizer with ImagePool and hooks, KLDiv and Normalizer
are used as they are: `.cuda()` does nothing, loaders work in the process itself, the `__init__`
files are skipped, and the few transforms come from below where kornia or torchvision cannot be
imported. All of this is in the peer's favour: no processes to start, and cheaper augmentation.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from bequest.ops.augment import random_crop_flip


class FastDatafree:
    """The parts of the checkout, imported without what its `__init__` files would import.

    Args:
        path: The checkout's folder.
    """

    def __init__(self, path: Path) -> None:
        root = path.resolve() / "datafree"
        if not (root / "synthesis" / "fast_meta.py").is_file():
            raise SystemExit(f"{path} is no checkout of zju-vipa/Fast-Datafree.")
        for name in ("datafree", "datafree.models", "datafree.synthesis", "datafree.utils"):
            package = ModuleType(name)
            package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = package
        helpers = importlib.import_module("datafree.utils._utils")
        vars(sys.modules["datafree.utils"]).update(
            {key: value for key, value in vars(helpers).items() if not key.startswith("__")}
        )
        for name, stand_in in (("torchvision", _torchvision), ("kornia", _kornia)):
            if not installed(name):
                sys.modules[name] = stand_in()
        self.normalizer: Any = helpers.Normalizer
        self.generator: Any = importlib.import_module("datafree.models.generator").Generator
        self.criterion: Any = importlib.import_module("datafree.criterions").KLDiv
        fast = importlib.import_module("datafree.synthesis.fast_meta")
        self.synthesizer: Any = fast.FastMetaSynthesizer


@contextmanager
def on_cpu() -> Iterator[None]:
    """`.cuda()` leaves things where they are; loaders start no processes."""
    loader = torch.utils.data.DataLoader

    def here(*arguments: Any, **options: Any) -> Any:
        return loader(*arguments, **options | {"num_workers": 0, "pin_memory": False})

    with ExitStack() as stack:
        for cls in (Tensor, nn.Module):
            stack.enter_context(mock.patch.object(cls, "cuda", lambda self, *_, **__: self))
        stack.enter_context(mock.patch.object(torch.utils.data, "DataLoader", here))
        yield


def installed(name: str) -> bool:
    """Whether it imports; torchvision beside a torch it was not built for does not."""
    try:
        module = importlib.import_module(name)
    except Exception:
        return False
    return module.__spec__ is not None  # a stand-in has none


def compose(parts: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """One after the other, as `torchvision.transforms.Compose` does it."""

    def call(value: Any) -> Any:
        for part in parts:
            value = part(value)
        return value

    return call


def _torchvision() -> ModuleType:
    return _module("torchvision", transforms=_module("torchvision.transforms", Compose=compose))


def _kornia() -> ModuleType:
    rng = torch.Generator().manual_seed(torch.initial_seed())

    def crop(*, size: list[int], padding: int) -> Callable[[Tensor], Tensor]:
        return lambda images: random_crop_flip(images, rng, padding=padding, flip=False)

    def flip() -> Callable[[Tensor], Tensor]:
        return lambda images: random_crop_flip(images, rng, padding=0, flip=True)

    parts = {"RandomCrop": crop, "RandomHorizontalFlip": flip}
    return _module("kornia", augmentation=_module("kornia.augmentation", **parts))


def _module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    return module


def pool_transform(mean: Sequence[float], std: Sequence[float]) -> Callable[[Any], Any]:
    """Crop, flip, tensor, normalise for one picture of the pool: torchvision's where it is here."""
    if installed("torchvision"):
        transforms: Any = importlib.import_module("torchvision.transforms")
        return transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )
    means, deviations = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))

    def transform(picture: Image.Image) -> Tensor:
        left, top = random.randrange(9), random.randrange(9)
        picture = ImageOps.expand(picture, 4).crop((left, top, left + 32, top + 32))
        if random.random() < 0.5:
            picture = ImageOps.mirror(picture)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
        return pixels.float().div_(255).sub_(means).div_(deviations)

    return transform
