"""What a pre-trained vision transformer is worth: fine-tuning, and a linear probe.

Both as Masked Autoencoders evaluate (He et al., CVPR 2022): AdamW with a learning rate that falls
with depth, label smoothing, drop path; a logistic regression on frozen features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.distillation import accuracy
from bequest.memory.replay import to_floats
from bequest.nn.modes import frozen
from bequest.nn.parameter_groups import layer_decay_groups
from bequest.nn.transformer_layers import LayerTap, drop_path, transformer_blocks
from bequest.ops.augment import random_crop_flip
from bequest.run import Run
from bequest.run.update import update
from bequest.synthesis.learner import warm_cosine


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How a classifier is fine-tuned.

    Differs: the published recipes also use RandAugment, mixup, cutmix and random erasing.

    Attributes:
        steps: Updates.
        batch_size: Images of an update.
        learning_rate: Of AdamW; a line up, half a cosine down to 0.
        layer_decay: By how much each layer learns more slowly than the one behind it.
        weight_decay: Of matrices.
        drop_path: Chance that a block is left out.
        warm_up: Share of the steps in which the learning rate rises.
        label_smoothing: Share of a label that goes to all classes.
        crop_padding: Pixels of padding before a random crop.
        flip: Whether to mirror half of the images.
    """

    steps: int
    batch_size: int
    learning_rate: float
    layer_decay: float = 0.75
    weight_decay: float = 0.05
    drop_path: float = 0.1
    warm_up: float = 0.05
    label_smoothing: float = 0.1
    crop_padding: int = 2
    flip: bool = False


class FineTuner:
    """A classifier and its optimizer: one step on labelled images.

    Args:
        network: A vision transformer with a head, on the run's device; takes images in [0, 1].
        settings: How.
        run: Precision and processes.
    """

    def __init__(self, network: nn.Module, settings: FineTuning, run: Run) -> None:
        self.network, self.settings, self.run = network.train(), settings, run
        groups = layer_decay_groups(
            network,
            weight_decay=settings.weight_decay,
            layer_decay=settings.layer_decay,
            depth=len(transformer_blocks(network)),
        )
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.999))

    def step(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        """One update at the run's fraction, the same in all processes.

        Args:
            pixels: `(batch, channels, height, width)`, uint8.
            labels: `(batch,)`, int64.
            rng: Crops and flips.

        Returns:
            The loss, a detached scalar.
        """
        s, run = self.settings, self.run
        pixels = random_crop_flip(pixels, rng, padding=s.crop_padding, flip=s.flip)
        images, labels = run.share(to_floats(pixels)), run.share(labels)
        with run.autocast(), drop_path(self.network, s.drop_path, rng):
            logits = self.network(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=s.label_smoothing)
        rate = s.learning_rate * warm_cosine(run.fraction, s.warm_up)
        update(run, loss, self.optimizer, self.network, rate=rate)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Network and optimizer, for a checkpoint."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def linear_probe(
    features: Tensor,
    labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    weight_decay: float = 1e-3,
) -> float:
    """The accuracy of a logistic regression on features that are standardised first, in [0, 1].

    Args:
        features: `(count, dim)`, of the images to train on.
        labels: `(count,)`, int64, each class at least once.
        test_features: `(count, dim)`.
        test_labels: `(count,)`.
        weight_decay: Of the squared weights, beside the mean cross-entropy.
    """
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    known, unknown = ((f - mean) / deviation for f in (features, test_features))
    classes = int(labels.max()) + 1
    weight = torch.zeros(classes, known.shape[1], device=known.device, requires_grad=True)
    bias = torch.zeros(classes, device=known.device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=100, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(known, weight, bias), labels)
        loss = loss + weight_decay * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    with torch.no_grad():
        return accuracy(F.linear(unknown, weight, bias), test_labels).item()


@torch.no_grad()
def mean_tokens(
    network: nn.Module, pixels: Tensor, run: Run, *, prefix: int = 1, batch_size: int = 500
) -> Tensor:
    """The mean of the patch tokens behind the last block, `(count, dim)`, fp32.

    Args:
        network: A vision transformer; takes images in [0, 1].
        pixels: `(count, channels, height, width)`, uint8.
        run: Device and precision.
        prefix: Tokens before those of the patches.
        batch_size: Images at once.
    """
    tap, parts = LayerTap(network), []
    with frozen(network), run.autocast():
        for batch in pixels.split(batch_size):
            tokens = tap.tokens(to_floats(batch).to(run.device))
            parts.append(tokens[:, prefix:].float().mean(1))
    return torch.cat(parts)
