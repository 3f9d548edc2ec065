"""Telling new images from earlier ones: a small discriminator and a bank of features.

Fang et al., "Contrastive Model Inversion", IJCAI 2021. The discriminator must recognise a zoomed
crop of an image (local view) as that image (global view), among a batch and images of earlier
batches. It is trained along with what makes the images, on the same loss.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.contrastive import info_nce
from bequest.memory.replay import ReplayBuffer
from bequest.run import Run


class InstanceDiscriminator(nn.Module):
    """A hidden layer as wide as the features, ReLU, a projection of norm 1.

    Shapes:
        `(batch, length)` to `(batch, dim)`; dot products of projections are cosines.
    """

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(length, length)
        self.projection = nn.Linear(length, dim)

    def forward(self, features: Tensor) -> Tensor:
        """Features to projections."""
        return F.normalize(self.projection(F.relu(self.hidden(features))), dim=1)


class InstanceContrast:
    """The contrastive loss, with its discriminator and its bank of earlier features.

    Args:
        length: Of the features.
        run: Randomness, device, processes.
        dim: Of the projections.
        temperature: Of the cosines, above 0.
        bank_size: Earlier images that are kept; the oldest leave first.
        negatives: Earlier images a step that an image is told from, drawn anew each time.
        learning_rate: Of the discriminator's Adam.
    """

    def __init__(
        self,
        length: int,
        run: Run,
        *,
        dim: int = 256,
        temperature: float = 0.1,
        bank_size: int = 40_960,
        negatives: int = 4096,
        learning_rate: float = 1e-3,
    ) -> None:
        self.length, self.run, self.temperature = length, run, temperature
        self.negatives = min(negatives, bank_size)
        self.head = run.place(InstanceDiscriminator(length, dim)).train()
        self.optimizer = torch.optim.Adam(self.head.parameters(), lr=learning_rate)
        self.bank = ReplayBuffer(bank_size)
        self.rng = run.stream("contrast")

    def loss(self, local: Tensor, whole: Tensor) -> Tensor:
        """Each local view must find its own global view.

        The mean over the new images and the mean over the earlier ones are added, so that a large
        bank does not drown what moves the new images; the earlier ones train the discriminator
        alone. Keys take no gradient: new images learn through their local views. While the bank
        is small, padding that does not count keeps shapes and cost the same.

        Args:
            local: Features of the local views, `(batch, length)`.
            whole: Features of the global views, `(batch, length)`.

        Returns:
            A scalar, at least 0.
        """
        count = len(local)
        earlier = self.earlier(like=local)
        held = len(earlier["local"])
        padding = local.new_zeros(self.negatives - held, self.length)
        with torch.no_grad():
            keys = self.head(torch.cat((whole.detach(), earlier["whole"], padding)))
        queries = self.head(torch.cat((local, earlier["local"], padding)))
        valid = torch.arange(len(keys), device=local.device) < count + held
        losses = info_nce(queries, keys, temperature=self.temperature, valid=valid)
        return losses[:count].mean() + losses[count:].sum() / max(held, 1)

    def earlier(self, *, like: Tensor) -> dict[str, Tensor]:
        """`local` and `whole` of at most `negatives` earlier images, without replacement."""
        if len(self.bank) == 0:
            return {
                "local": like.new_zeros(0, self.length),
                "whole": like.new_zeros(0, self.length),
            }
        order = torch.randperm(len(self.bank), generator=self.rng, device=like.device)
        drawn = self.bank.take(order[: self.negatives])
        return {name: features.to(like.dtype) for name, features in drawn.items()}

    def step(self) -> None:
        """One update of the discriminator with the gradients that are there."""
        self.run.reduce(self.head)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def remember(self, local: Tensor, whole: Tensor) -> None:
        """Puts the features of finished images into the bank, in half precision."""
        self.bank.add(local=local.to(torch.float16), whole=whole.to(torch.float16))

    def state_dict(self) -> dict[str, Any]:
        """Discriminator, its optimizer and the bank, for a checkpoint."""
        return {
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "bank": self.bank.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.bank.load_state_dict(state["bank"])
