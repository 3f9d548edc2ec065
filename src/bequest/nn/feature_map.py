"""The last feature map of a classifier, whatever its modules are called."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.inspection import FeatureTap, penultimate_layer
from bequest.nn.modes import frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMap:
    """Where a classifier's last feature map is.

    Attributes:
        layer: The name of the module whose output it is.
        rectified: Whether a ReLU that is no module comes after it.
        channels: Of the map.
        size: Height and width of the map, for the images that it was found with.
    """

    layer: str
    rectified: bool
    channels: int
    size: tuple[int, int]

    def __call__(self, network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """The map `(batch, channels, height, width)` and the logits, in one forward pass."""
        held: list[Tensor] = []
        layer = network.get_submodule(self.layer)
        handle = layer.register_forward_hook(lambda _module, _inputs, output: held.append(output))
        try:
            logits = network(images)
        finally:
            handle.remove()
        features = held[-1]
        return (F.relu(features) if self.rectified else features), logits


def find_feature_map(
    network: nn.Module, *, image_size: tuple[int, int, int], exact: bool, name: str = "network"
) -> FeatureMap:
    """Finds the map whose average over space is what the last linear layer sees.

    Two random images go through the network in eval mode; it is left as it was.

    Args:
        network: A classifier.
        image_size: `(channels, height, width)`.
        exact: Whether such a map is required; otherwise the last map will do.
        name: What to call the network in messages.

    Raises:
        InputError: When there is no map, or with `exact` none that fits.
    """
    found: list[tuple[str, Tensor]] = []

    def keep(label: str, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 4:
            found.append((label, output))

    handles = [
        module.register_forward_hook(
            lambda _module, _inputs, output, label=label: keep(label, output)
        )
        for label, module in network.named_modules()
        if label
    ]
    reference = next(network.parameters())
    draw = torch.Generator().manual_seed(0)
    images = torch.rand((2, *image_size), generator=draw).to(reference.device, reference.dtype)
    try:
        with frozen(network), torch.no_grad(), FeatureTap(penultimate_layer(network)) as tap:
            logits = network(images)
            seen = tap.value
            ends_there = _close(tap.module(seen), logits)
    finally:
        for handle in handles:
            handle.remove()
    # Pooling may be a module of its own, and what it gives is no longer the map: most pixels win.
    # Of equals the latest, for a block and its last layer give the same.
    fitting = [
        (output.numel(), place, not rectified)
        for place, (_, output) in enumerate(found if ends_there else ())
        for rectified in (False, True)
        if _close(_average(output, rectified=rectified), seen)
    ]
    if fitting:
        _, place, plain = max(fitting)
        return _of(*found[place], rectified=not plain)
    if exact:
        raise InputError(
            f"The {name} must end in a feature map, its average over space and one linear layer: "
            f"the input of its last linear layer is no such average. Choose another {name}."
        )
    maps = [(label, output) for label, output in found if output.shape[-1] * output.shape[-2] > 1]
    if not maps:
        raise InputError(f"The {name} has no feature map (batch, channels, height, width).")
    return _of(*maps[-1], rectified=False)


def _average(features: Tensor, *, rectified: bool) -> Tensor:
    features = F.relu(features) if rectified else features
    return F.adaptive_avg_pool2d(features, 1).flatten(1)


def _of(label: str, output: Tensor, *, rectified: bool) -> FeatureMap:
    _, channels, height, width = output.shape
    return FeatureMap(layer=label, rectified=rectified, channels=channels, size=(height, width))


def _close(given: Tensor, expected: Tensor) -> bool:
    if given.shape != expected.shape:
        return False
    scale = float(expected.abs().max())
    return torch.allclose(given, expected, rtol=1e-3, atol=1e-4 * max(scale, 1e-6))
