"""A network as its backbone's host: what is pruned and healed, and what stays around it."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from bequest.errors import unknown
from bequest.losses.distillation import agreement
from bequest.losses.supervision import relative_error
from bequest.memory.replay import to_floats
from bequest.nn.modes import frozen
from bequest.nn.narrow import Record
from bequest.nn.normalize import Normalized
from bequest.nn.taps import Layout, Taps
from bequest.run import Run
from bequest.synthesis.observer import Monitor, predict

_MOST = 512


class Host:
    """A network, possibly `Normalized`, and the backbone inside it.

    Args:
        network: Takes images in [0, 1].
        backbone: Name of the backbone in the network, without the wrapper; "" is all of it.

    Attributes:
        network: As given.
        inner: The network that takes normalised images.
        part: The backbone; takes normalised images.

    Raises:
        InputError: When there is no module of that name.
    """

    def __init__(self, network: nn.Module, backbone: str = "") -> None:
        self.network, self.backbone = network, backbone
        self.inner = network.unwrapped if isinstance(network, Normalized) else network
        modules = dict(self.inner.named_modules())
        if backbone not in modules:
            raise unknown("module to be the backbone", backbone, modules)
        self.part = modules[backbone]

    def normalized(self, images: Tensor) -> Tensor:
        """Images in [0, 1] as the backbone takes them."""
        if isinstance(self.network, Normalized):
            return (images - self.network.mean) / self.network.std
        return images

    def with_part(self, part: nn.Module) -> nn.Module:
        """A copy of the whole network with another backbone; this one is left as it is."""
        memo = {id(self.part): part}  # the copy takes it where it meets the old one
        return copy.deepcopy(self.network, memo)

    def named(self, record: Record) -> Record:
        """A record of the backbone with the names that its layers have in `inner`."""
        prefix = f"{self.backbone}." if self.backbone else ""
        return {f"{prefix}{name}": counts for name, counts in record.items()}

    def train_part(self, head: Iterable[str], *, renew_statistics: bool) -> None:
        """Sets the backbone to training; what lies behind its last tap stays as it is."""
        self.network.eval()
        self.part.train(renew_statistics)
        self.part.requires_grad_(True)
        modules = dict(self.part.named_modules())
        for name in head:
            modules[name].eval().requires_grad_(False)


def in_unit(images: Tensor) -> Tensor:
    """Images for which [0, 1] is black to white: uint8 ones divided, others as they are."""
    return to_floats(images) if images.dtype == torch.uint8 else images


@torch.no_grad()
def summary(
    host: Host,
    student: Host,
    plan: Layout,
    images: Tensor,
    run: Run,
    monitor: Monitor | None,
) -> dict[str, float]:
    """How near the student is, on held-back images in [0, 1] and by the monitor.

    Returns:
        `output_error`, the relative error of the backbone's last tap in percent; for networks
        that give logits `agreement`, how often both choose the same class, in percent; and what
        the monitor says.
    """
    maps = []
    for one in (host, student):
        with frozen(one.network), Taps(one.part, plan.taps[-1:]) as taps, run.autocast():
            one.part(one.normalized(images[:_MOST]))
            maps.append(taps.values()[0])
    figures = {"output_error": 100 * relative_error(maps[1], maps[0]).item()}
    with frozen(host.network):
        example = host.network(images[:1])
    if isinstance(example, Tensor) and example.dim() == 2:
        answers = [predict(one.network, images, run) for one in (student, host)]
        figures["agreement"] = 100 * agreement(*answers).item()
    return figures | (monitor(student.network) if monitor is not None else {})
