"""Sequences of item ids of any lengths as two tensors, and windows of them as one gather.

Ids are 1 .. number of items; 0 is padding, at the right, so that the first place of a window is the
oldest event in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from bequest.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """What users did, oldest first, all users in one tensor.

    Shapes:
        items: `(events,)`, int64, from 1.
        offsets: `(sequences + 1,)`, int64: where each sequence begins, and the end of the last.

    Example:
        >>> Sequences.of([[3, 1], [2, 2, 5]]).lengths.tolist()
        [2, 3]
    """

    items: Tensor
    offsets: Tensor

    @staticmethod
    def of(lists: Iterable[Sequence[int]]) -> Sequences:
        """From a list of item ids a user, oldest first.

        Raises:
            InputError: For anything but whole numbers.
        """
        lists = list(lists)
        lengths = torch.tensor([0, *map(len, lists)], dtype=torch.int64)
        events = [item for items in lists for item in items]
        if any(isinstance(item, bool) or not isinstance(item, Integral) for item in events):
            raise InputError("Item ids must be whole numbers from 1.")
        return Sequences(items=torch.tensor(events, dtype=torch.int64), offsets=lengths.cumsum(0))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """Events of each sequence, `(sequences,)`."""
        return self.offsets.diff()

    def to(self, device: torch.device) -> Sequences:
        """The same sequences on that device."""
        return Sequences(items=self.items.to(device), offsets=self.offsets.to(device))

    def take(self, places: Tensor) -> Sequences:
        """The sequences at `places` `(number,)`, in that order."""
        lengths = self.lengths[places]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        shift = (self.offsets[places] - offsets[:-1]).repeat_interleave(lengths)
        return Sequences(
            items=self.items[torch.arange(len(shift), device=shift.device) + shift],
            offsets=offsets,
        )

    def split(self, cuts: Tensor) -> tuple[Sequences, Sequences]:
        """Each sequence in two: its first `cuts[i]` events, and the others."""
        place = torch.arange(len(self.items), device=self.items.device)
        place = place - self.offsets[:-1].repeat_interleave(self.lengths)
        first = place < cuts.repeat_interleave(self.lengths)
        zero = cuts.new_zeros(1)
        return (
            Sequences(items=self.items[first], offsets=torch.cat([zero, cuts.cumsum(0)])),
            Sequences(
                items=self.items[~first],
                offsets=torch.cat([zero, (self.lengths - cuts).cumsum(0)]),
            ),
        )

    def windows(self, rows: Tensor, ends: Tensor, length: int) -> Tensor:
        """The last `length` events before place `ends` of the sequences `rows`.

        Args:
            rows: `(batch,)`, which sequence.
            ends: `(batch,)`, 0 .. length of that sequence; the event at this place isn't included.
            length: Columns of the answer.

        Returns:
            `(batch, length)`, padded with 0 at the right where fewer events came before.
        """
        starts = (ends - length).clamp(min=0)
        columns = torch.arange(length, device=self.items.device)
        inside = columns < (ends - starts)[:, None]
        places = (self.offsets[rows] + starts)[:, None] + columns
        # Places behind the last event are read as some event and thrown away.
        return self.items[places.clamp(max=len(self.items) - 1)] * inside

    def last(self, length: int) -> Tensor:
        """The last `length` events of each sequence, `(sequences, length)`, padded with 0."""
        rows = torch.arange(len(self), device=self.items.device)
        return self.windows(rows, self.lengths, length)

    def padded(self) -> Tensor:
        """All events, `(sequences, longest)`, padded with 0 at the right."""
        return self.last(max(1, int(self.lengths.max())))


def history_and_future(sequences: Sequences, *, share: float = 0.8) -> tuple[Sequences, Sequences]:
    """What a user is known by and what is to be foretold: the first `share` of events, the others.

    Each part has at least one event; sequences need two.
    """
    lengths = sequences.lengths
    # In float64 for the sake of exact tenths: 0.8 * 5 must not fall below 4.
    cuts = (lengths.double() * share).long().clamp(min=1)
    return sequences.split(torch.minimum(cuts, lengths - 1))


def check_sequences(
    sequences: Sequences, *, num_items: int, shortest: int, name: str = "sequences"
) -> None:
    """Refuses what cannot be trained on or ranked.

    Raises:
        InputError: For no sequences, ids outside 1 .. `num_items`, or a sequence with fewer events
            than `shortest`; it names the first one.
    """
    if num_items < 1:
        raise InputError(f"num_items is {num_items}; there must be at least one item.")
    if not len(sequences):
        raise InputError(f"{name} is empty; there must be at least one sequence.")
    short = (sequences.lengths < shortest).nonzero()
    if len(short):
        place = int(short[0])
        raise InputError(
            f"Sequence {place} of {name} has {int(sequences.lengths[place])} events; each needs at "
            f"least {shortest}. Leave out the {len(short)} shorter ones."
        )
    low, high = (int(value) for value in torch.aminmax(sequences.items))
    if low < 1 or high > num_items:
        raise InputError(
            f"{name} holds item ids {low} to {high}; they must be 1 to num_items = {num_items}. 0 "
            "is padding and no item."
        )
