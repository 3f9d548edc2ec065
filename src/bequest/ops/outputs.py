"""What one forward pass of a network gave, as objectives of distillation compare it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Outputs(NamedTuple):
    """Logits, and whatever else of a forward pass was kept.

    Attributes:
        logits: `(batch, classes)`.
        features: `(batch, dim)`, the input of the last linear layer; None where nobody needs it.
        maps: Feature maps, each `(batch, channels, height, width)`, in order of depth.
    """

    logits: Tensor
    features: Tensor | None = None
    maps: tuple[Tensor, ...] = ()

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same with every tensor changed."""
        features = None if self.features is None else change(self.features)
        return type(self)(change(self.logits), features, tuple(change(m) for m in self.maps))

    def tensors(self) -> list[Tensor]:
        """All tensors: logits, features where there are some, maps."""
        features = [] if self.features is None else [self.features]
        return [self.logits, *features, *self.maps]

    @classmethod
    def of(cls, tensors: list[Tensor], *, features: bool) -> Self:
        """From what `tensors` gave."""
        if not features:
            return cls(tensors[0], None, tuple(tensors[1:]))
        return cls(tensors[0], tensors[1], tuple(tensors[2:]))

    def shapes(self) -> str:
        """The shapes, for messages."""
        return ", ".join("x".join(map(str, t.shape[1:])) for t in self.tensors())


def concatenated(parts: list[Outputs]) -> Outputs:
    """Batches one after another as one."""
    columns = zip(*(part.tensors() for part in parts))
    return Outputs.of([torch.cat(c) for c in columns], features=parts[0].features is not None)
