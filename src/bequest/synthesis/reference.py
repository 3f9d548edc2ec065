"""What the unpruned backbone gives on the images of healing, remembered where that fits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bequest.memory.replay import ReplayBuffer
from bequest.nn.taps import Taps
from bequest.run import Run
from bequest.synthesis.host import Host, in_unit

_LARGEST = 2**29
"""Bytes of feature maps that are remembered; more are computed again for each batch."""
_BATCH = 256


class Reference:
    """Images and the maps of the unpruned backbone, by place.

    The images are the same in every epoch and the backbone is frozen, so that each of its maps
    need be computed once only.

    Args:
        host: Frozen, in eval mode.
        names: Of the tapped modules.
        images: `(count, channels, height, width)` on the run's device, see `host.in_unit`.
        run: Precision; the time goes to the section `reference`.
        largest: Bytes of maps that may be remembered.
    """

    def __init__(
        self,
        host: Host,
        names: Sequence[str],
        images: Tensor,
        run: Run,
        *,
        largest: int = _LARGEST,
    ) -> None:
        self.host, self.names, self.run = host, tuple(names), run
        self.bank = ReplayBuffer(len(images))
        with run.section("reference"):
            first = self._maps(in_unit(images[:1]))
            size = sum(m.numel() * m.element_size() for m in first)
            self.remembers = size * len(images) <= largest
            for batch in images.split(_BATCH):
                maps = self._maps(in_unit(batch)) if self.remembers else []
                self.bank.add(images=batch, **{f"map{i}": m for i, m in enumerate(maps)})

    def take(self, places: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Normalised images at `places` `(batch,)` and the backbone's maps on them."""
        drawn = self.bank.take(places)
        images = in_unit(drawn["images"])
        if self.remembers:
            maps = [drawn[f"map{i}"] for i in range(len(self.names))]
        else:
            maps = self._maps(images)
        return self.host.normalized(images), maps

    @torch.no_grad()
    def _maps(self, images: Tensor) -> list[Tensor]:
        with Taps(self.host.part, self.names) as taps, self.run.autocast():
            self.host.part(self.host.normalized(images))
            return taps.values()
