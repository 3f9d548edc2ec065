"""What methods share that replay a small part of a stream: views, memory, masks, the update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.memory.replay import ReplayBuffer, to_floats
from bequest.memory.stream import Stream
from bequest.nn.modes import frozen
from bequest.ops.augment import random_crop_flip
from bequest.run import Run
from bequest.run.update import update


@dataclass(frozen=True, kw_only=True)
class RehearsalSettings:
    """How a learner rehearses; every method that replays has fields of these names.

    Attributes:
        buffer_size: Samples that are kept; 0 keeps none.
        replay_batch: Samples of a draw; fewer while there are fewer.
        crop_padding: Pixels of padding before a random crop, anew whenever a sample is seen.
        flip: Whether half of the images are mirrored.
        boundaries: Whether training is told which classes the stretch at hand has.
        learning_rate: Of SGD, constant.
        momentum: Of SGD.
        weight_decay: Of SGD.
    """

    buffer_size: int
    replay_batch: int
    crop_padding: int
    flip: bool
    boundaries: bool
    learning_rate: float
    momentum: float
    weight_decay: float

    @classmethod
    def of(cls, method: Any) -> RehearsalSettings:
        """The settings out of a method."""
        return cls(**{field.name: getattr(method, field.name) for field in fields(cls)})


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """What a step looks at: this process's share.

    Attributes:
        views: `(batch, channels, height, width)`, augmented, in [0, 1].
        labels: `(batch,)`.
        logits: The network's on another view, when the samples arrived, `(batch, classes)`; of
            samples that arrive now, empty.
    """

    views: Tensor
    labels: Tensor
    logits: Tensor


class Rehearsal:
    """A stream, a reservoir of its past, and the optimizer of what learns from both.

    The reservoir holds images as they came, without augmentation, their labels, and the logits
    that the network gave when they arrived: on the augmented view, before the update of that step.

    Args:
        stream: What arrives.
        modules: What learns, on the run's device, in training mode.
        method: Has the fields of `RehearsalSettings`.
        run: Randomness, processes. Views, draws and the reservoir have streams of their own, so
            that methods which draw alike see the same samples.
    """

    def __init__(self, stream: Stream, modules: nn.Module, method: Any, run: Run) -> None:
        self.settings = settings = RehearsalSettings.of(method)
        self.stream, self.modules, self.run = stream.to(run.device), modules, run
        self.memory: ReplayBuffer | None = None
        if settings.buffer_size:
            self.memory = ReplayBuffer(settings.buffer_size, reservoir=run.stream("reservoir"))
        self.optimizer = torch.optim.SGD(
            [p for p in modules.parameters() if p.requires_grad],
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        shape = (len(stream.ends), stream.num_classes)
        self._current = torch.zeros(shape, dtype=torch.bool, device=run.device)
        for stretch, classes in enumerate(stream.classes):
            self._current[stretch, list(classes)] = True
        self._seen = self._current.cumsum(0) > 0

    @property
    def remembers(self) -> bool:
        """Whether there is anything to draw."""
        return self.memory is not None and len(self.memory) > 0

    def arriving(self, step: int) -> Samples:
        """What the stream brings at that step."""
        images, labels = self.stream.batch(step)
        return self._samples(images, labels, images.new_zeros(len(images), 0))

    def drawn(self) -> Samples:
        """A random batch out of the memory; each call draws anew and sees other views."""
        assert self.memory is not None, "nothing is kept: ask `remembers` first"
        drawn = self.memory.draw(self.settings.replay_batch, self.run.stream("replay"))
        return self._samples(drawn["images"], drawn["labels"], drawn["logits"])

    def _samples(self, images: Tensor, labels: Tensor, logits: Tensor) -> Samples:
        rng, s = self.run.stream("views"), self.settings
        images = random_crop_flip(images, rng, padding=s.crop_padding, flip=s.flip)
        share = self.run.share
        return Samples(views=to_floats(share(images)), labels=share(labels), logits=share(logits))

    def current_loss(self, logits: Tensor, labels: Tensor, step: int) -> Tensor:
        """Cross-entropy of what arrives; with boundaries among the classes of its stretch."""
        return self._loss(logits, labels, self._current, step)

    def replay_loss(self, logits: Tensor, labels: Tensor, step: int) -> Tensor:
        """Cross-entropy of what is replayed; with boundaries among the classes seen so far."""
        return self._loss(logits, labels, self._seen, step)

    def _loss(self, logits: Tensor, labels: Tensor, masks: Tensor, step: int) -> Tensor:
        logits = logits.float()
        if self.settings.boundaries:
            among = masks[self.stream.stretch(step)]
            logits = logits.masked_fill(~among, torch.finfo(logits.dtype).min)
        return F.cross_entropy(logits, labels)

    def update(self, terms: Mapping[str, Tensor]) -> None:
        """One step of SGD on the sum of the terms."""
        loss = torch.stack(list(terms.values())).sum()
        update(self.run, loss, self.optimizer, self.modules)
        self.run.log(loss=loss, **terms)

    def remember(self, step: int, logits: Tensor) -> None:
        """Offers what arrived at that step to the reservoir.

        Args:
            step: Of the stream.
            logits: On this process's share of the augmented view, before the update.
        """
        if self.memory is not None:
            images, labels = self.stream.batch(step)
            kept = self.run.gather(logits.detach().float())
            self.memory.add(images=images, labels=labels, logits=kept)

    def state_dict(self) -> dict[str, Any]:
        """What has been learnt, and the memory, for a checkpoint."""
        return {
            "modules": self.modules.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "memory": None if self.memory is None else self.memory.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.modules.load_state_dict(state["modules"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.memory is not None:
            self.memory.load_state_dict(state["memory"])


def check_learner(network: nn.Module, stream: Stream, run: Run) -> None:
    """Refuses a network whose classes are not the stream's; it is left as it was.

    Raises:
        InputError: With both numbers.
    """
    with frozen(network), torch.no_grad():
        logits = network(to_floats(stream.images[:2].to(run.device)))
    if logits.dim() != 2 or logits.shape[1] != stream.num_classes:
        raise InputError(
            f"The network gives {tuple(logits.shape)} for 2 images; (2, {stream.num_classes}) is "
            "needed, a logit for each class that the stream will ever bring."
        )
