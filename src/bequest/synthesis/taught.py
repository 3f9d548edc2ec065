"""The teacher's side of distillation with data: what it sees, and what is kept of its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from bequest.memory.labelled import LabelledImages
from bequest.memory.replay import to_floats
from bequest.memory.teacher_cache import TeacherCache
from bequest.ops.augment import seeded_crop_flip
from bequest.ops.outputs import Outputs
from bequest.run import Run

Ask = Callable[[Tensor], Outputs]
"""A network with what is watched in it: images in [0, 1] to outputs."""

_OWN = 1_000_003
"""Seeds of the teacher's own cuts lie beyond those of the student's epochs."""


@dataclass(frozen=True, kw_only=True)
class Views:
    """How teacher and student see an image; methods that learn from data have such fields.

    Attributes:
        crop_padding: Pixels of padding before a random crop.
        flip: Whether half of the images are mirrored.
        augmentations: How many cuts of an image there are, in turn; 0: new ones in each epoch.
        teacher_view: The student's cut, the whole image, or a cut of its own.
        cache: Whether outputs are kept where a view comes again.
        cache_megabytes: Most that may be kept.
    """

    crop_padding: int
    flip: bool
    augmentations: int
    teacher_view: Literal["same", "plain", "own"]
    cache: bool
    cache_megabytes: float

    @classmethod
    def of(cls, method: Any) -> Views:
        """The settings out of a method."""
        return cls(**{field.name: getattr(method, field.name) for field in fields(cls)})

    def seed(self, epoch: int) -> int:
        """Which cut of the images an epoch uses."""
        if not (self.crop_padding or self.flip):
            return 0
        return epoch % self.augmentations if self.augmentations else epoch

    def cut(self, data: LabelledImages, places: Tensor, seed: int) -> Tensor:
        """The samples at `places` `(batch,)` as that seed cuts them, in [0, 1]."""
        pixels = data.take(places)
        if self.crop_padding or self.flip:
            pixels = seeded_crop_flip(
                pixels, places, seed=seed, padding=self.crop_padding, flip=self.flip
            )
        return to_floats(pixels)

    def whole(self, data: LabelledImages, places: Tensor) -> Tensor:
        """The samples at `places` as they are, in [0, 1]."""
        return to_floats(data.take(places))

    @property
    def teacher_views(self) -> int | None:
        """How many views of an image the teacher gets; None: new ones in each epoch."""
        if self.teacher_view == "plain" or not (self.crop_padding or self.flip):
            return 1
        return self.augmentations or None


class Taught:
    """One teacher's outputs for samples by their place, asked for or remembered.

    Args:
        ask: The teacher on the run's device, in eval mode, without gradients.
        data: The samples.
        views: What is seen.
        run: Precision; asking for a whole epoch is its section `teacher`.
        example: Outputs of any batch, for their size.
        draws: Samples that the run will take at most: where no view comes again among so many,
            nothing is kept.
    """

    def __init__(
        self,
        ask: Ask,
        data: LabelledImages,
        views: Views,
        run: Run,
        *,
        example: Outputs,
        draws: int,
    ) -> None:
        self.ask, self.data, self.views, self.run = ask, data, views, run
        count = views.teacher_views
        self.cache: TeacherCache | None = None
        if views.cache and count is not None and draws > count * len(data):
            needed = TeacherCache.bytes_a_sample(example) * len(data) * count
            if needed <= views.cache_megabytes * 1e6:
                self.cache = TeacherCache(self._asked, len(data))
        self._direct = 0
        self._filled: set[int] = set()

    @property
    def images_asked(self) -> int:
        """How many images the teacher was shown; asking again after a resume does not count."""
        return self._direct + len(self._filled) * len(self.data)

    def __call__(self, places: Tensor, seed: int, images: Tensor) -> Outputs:
        """The outputs in fp32.

        Args:
            places: `(batch,)`, int64.
            seed: Of the student's cuts.
            images: What the student sees of these samples.
        """
        seed = {"same": seed, "own": seed + _OWN, "plain": 0}[self.views.teacher_view]
        if self.cache is not None:
            if not self.cache.holds(seed):
                with self.run.section("teacher"):
                    self.cache.fill(seed, self._view, device=places.device)
                self._filled.add(seed)
            return self.cache(places, seed, self._view).each(Tensor.float)
        if self.views.teacher_view != "same":
            images = self._view(places, seed)
        self._direct += len(places)
        return self._asked(images).each(Tensor.float)

    def _view(self, places: Tensor, seed: int) -> Tensor:
        if self.views.teacher_view == "plain":
            return self.views.whole(self.data, places)
        return self.views.cut(self.data, places, seed)

    @torch.no_grad()
    def _asked(self, images: Tensor) -> Outputs:
        with self.run.autocast():
            return self.ask(images)

    def state_dict(self) -> dict[str, Any]:
        """What was asked, for a checkpoint; the outputs themselves are asked for again."""
        return {"direct": self._direct, "filled": sorted(self._filled)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._direct, self._filled = int(state["direct"]), set(state["filled"])
