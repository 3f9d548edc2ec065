"""Synthetic images with the teacher's answers, one part to train on and one held back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bequest.memory.replay import ReplayBuffer, to_bytes, to_floats

_HELD_BACK_EVERY = 16
_HELD_BACK_CAPACITY = 512


class ImagePool:
    """A bank of uint8 images and the teacher's logits on them, or what else it says of them.

    Every sixteenth image never reaches the student: these show, without any real data, how well
    the student agrees with the teacher on images it was not trained on.

    Args:
        capacity: Largest number of images to train on; the oldest leave first.
    """

    def __init__(self, capacity: int) -> None:
        self.training = ReplayBuffer(capacity)
        self.held_back = ReplayBuffer(_HELD_BACK_CAPACITY)

    def __len__(self) -> int:
        return len(self.training)

    def add(self, pixels: Tensor, answers: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Takes uint8 images `(batch, channels, height, width)` and the teacher's answers.

        Args:
            pixels: The images.
            answers: Logits `(batch, classes)`; or tensors `(batch, ...)` by name, for networks
                whose logits are too large to keep.

        Returns:
            The places written in the training part.
        """
        # Slices and an index made without a look at the device: nothing waits for it.
        samples = {"logits": answers} if isinstance(answers, Tensor) else answers
        samples = {"images": pixels, **samples}
        first = _HELD_BACK_EVERY - 1
        if len(pixels) > first:
            every = {name: column[first::_HELD_BACK_EVERY] for name, column in samples.items()}
            self.held_back.add(**every)
        kept = [i for i in range(len(pixels)) if i % _HELD_BACK_EVERY != first]
        chosen = torch.tensor(kept, device=pixels.device)
        return self.training.add(**{name: column[chosen] for name, column in samples.items()})

    def uniform(self, count: int, rng: torch.Generator) -> Tensor:
        """`count` places of the training part, drawn uniformly with replacement."""
        return torch.randint(len(self), (count,), generator=rng, device=rng.device)

    def state_dict(self) -> dict[str, Any]:
        """Both parts, for a checkpoint."""
        return {"training": self.training.state_dict(), "held_back": self.held_back.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.training.load_state_dict(state["training"])
        self.held_back.load_state_dict(state["held_back"])


__all__ = ["ImagePool", "to_bytes", "to_floats"]
