"""Networks with weights that others published: teachers whose accuracy is known."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from bequest.data.cache import cache_folder
from bequest.data.catalog import NETWORKS, PublicNetwork
from bequest.data.download import download
from bequest.errors import InputError, unknown
from bequest.nn import zoo
from bequest.nn.presets import PRESETS
from bequest.nn.weights import load_weights

PUBLIC_NORMALIZATION = PRESETS["imagenet"]
"""Mean and deviation for which the public networks were trained; not those of CIFAR-10."""

_TOGETHER = "cifar10_resnets.npz"


def public_network(name: str) -> nn.Module:
    """A network of the zoo with its public CIFAR-10 weights.

    Read from the cache folder: from ``cifar10_resnets.npz``, which holds the networks under
    ``resnet20/...`` and ``resnet56/...``, else from the published file in ``networks``, which is
    downloaded where it isn't there. Nothing that a file contains is run.

    Args:
        name: ``resnet20`` (91.73 % of the test images) or ``resnet56`` (93.39 %).

    Returns:
        The network in evaluation mode, on the CPU. It takes images ``(batch, 3, 32, 32)`` that
        are normalised with :data:`PUBLIC_NORMALIZATION`.

    Raises:
        InputError: for another name, weights that don't fit, or weights that are neither here nor
            to be downloaded: with where to get them.
    """
    if name not in NETWORKS:
        raise unknown("network with public weights", name, NETWORKS)
    path = _weights(NETWORKS[name], cache_folder())
    with torch.random.fork_rng(devices=[]):
        network = zoo.build(name, num_classes=10)
    load_weights(network, path, group=name)
    return network.eval()


def _weights(known: PublicNetwork, folder: Path) -> Path:
    together = folder / _TOGETHER
    if together.is_file():
        return together
    try:
        return download(known.file, folder / "networks", progress=True)
    except InputError as error:
        raise InputError(
            f"The public weights of '{known.name}' are neither '{together}' nor in "
            f"'{folder / 'networks'}'. {error}\nTo bring them by hand, put {known.file.urls[0]} "
            f"into {folder / 'networks'}. BEQUEST_CACHE names another cache folder."
        ) from error
