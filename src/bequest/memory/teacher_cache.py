"""What a frozen teacher gave, kept by sample and augmentation seed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bequest.ops.outputs import Outputs

View = Callable[[Tensor, int], Tensor]
"""From places `(batch,)` and an augmentation seed to images: the same for the same arguments."""


class TeacherCache:
    """Asks a teacher once for each sample and augmentation seed, and remembers.

    It is right for as long as a view is decided by place and seed, as that of
    `bequest.ops.augment.seeded_crop_flip` is, and the teacher does not change. Outputs are kept in
    their own precision on their own device: what comes back is what was given, bit for bit.

    Args:
        teacher: From images to outputs, `bequest.nn.watch.WatchTeacher` for example.
        count: Samples that there are.

    Attributes:
        asked: Images that the teacher has seen so far.

    Example:
        >>> cache = TeacherCache(lambda images: Outputs(images.sum((2, 3))), count=5)
        >>> view = lambda places, seed: (places + seed).float().view(-1, 1, 1, 1)
        >>> first = cache(torch.tensor([1, 3]), 7, view)
        >>> again = cache(torch.tensor([3, 1]), 7, view)
        >>> again.logits.flatten().tolist(), cache.asked
        ([10.0, 8.0], 2)
    """

    def __init__(self, teacher: Callable[[Tensor], Outputs], count: int) -> None:
        self.teacher = teacher
        self.count = count
        self.asked = 0
        self._banks: dict[int, _Bank] = {}

    def __call__(self, places: Tensor, seed: int, view: View) -> Outputs:
        """The teacher's outputs for these samples under that seed.

        Args:
            places: `(batch,)`, int64, in 0 .. count - 1.
            seed: Of the augmentation.
            view: Makes the images, of samples alone that are not known yet.
        """
        bank = self._banks.setdefault(seed, _Bank(self.count))
        if not bank.full:
            unknown = places[~bank.known(places)]
            if len(unknown):
                self._ask(bank, unknown.unique(), seed, view)
        return bank.read(places)

    def holds(self, seed: int) -> bool:
        """Whether the outputs of all samples under that seed are known."""
        return seed in self._banks and self._banks[seed].full

    def fill(self, seed: int, view: View, *, device: torch.device, batch_size: int = 256) -> None:
        """Asks for all samples at once, in an order that never changes.

        A run that is killed and goes on asks in the same batches again, so it gets the same bits.
        """
        bank = self._banks.setdefault(seed, _Bank(self.count))
        if not bank.full:
            for places in torch.arange(self.count, device=device).split(batch_size):
                self._ask(bank, places, seed, view)

    def _ask(self, bank: _Bank, places: Tensor, seed: int, view: View) -> None:
        self.asked += len(places)
        bank.write(places, self.teacher(view(places, seed)))

    @staticmethod
    def bytes_a_sample(example: Outputs) -> int:
        """What one sample takes, from the outputs of any batch."""
        return sum(t[:1].numel() * t.element_size() for t in example.tensors())


class _Bank:
    """Outputs of all samples under one seed; maps lie channels last."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.full = False
        self._columns: list[Tensor] = []
        self._known = torch.zeros(0, dtype=torch.bool)
        self._has_features = False

    def known(self, places: Tensor) -> Tensor:
        """Which of the places have been written, `(batch,)`."""
        if len(self._known):
            return self._known[places]
        return torch.zeros_like(places, dtype=torch.bool)

    def write(self, places: Tensor, outputs: Outputs) -> None:
        rows = [_channels_last(t.detach()) for t in outputs.tensors()]
        if not self._columns:
            self._columns = [t.new_empty((self.count, *t.shape[1:])) for t in rows]
            self._known = torch.zeros(self.count, dtype=torch.bool, device=places.device)
            self._has_features = outputs.features is not None
        for column, t in zip(self._columns, rows):
            column[places] = t
        self._known[places] = True
        self.full = bool(self._known.all())

    def read(self, places: Tensor) -> Outputs:
        rows = [column.index_select(0, places) for column in self._columns]
        tensors = [t.permute(0, 3, 1, 2) if t.dim() == 4 else t for t in rows]
        return Outputs.of(tensors, features=self._has_features)


def _channels_last(rows: Tensor) -> Tensor:
    return rows.permute(0, 2, 3, 1) if rows.dim() == 4 else rows
