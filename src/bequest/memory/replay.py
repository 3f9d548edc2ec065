"""A bank of samples on the device: preallocated, written in blocks, drawn in batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bequest.errors import InputError


class ReplayBuffer:
    """At most `capacity` samples, each a set of named tensors.

    Storage lies on the device of what is written first, in its type (images as uint8: see
    `to_bytes`), and doubles as needed up to the capacity. How often each entry was drawn is
    counted.

    A full buffer overwrites its oldest entries: a ring. With `reservoir` it is a uniform sample of
    everything that was ever written (Vitter, "Random Sampling with a Reservoir", ACM TOMS 1985,
    algorithm R): the n-th sample, n from 1, overwrites a random entry with probability
    `capacity / n`. A block is written at once, and leaves what its samples one by one would leave.

    Args:
        capacity: Largest number of samples, at least 1.
        reservoir: Decides who is overwritten, on the device of the samples; None makes a ring.
            Its state is the caller's to keep.
    """

    def __init__(self, capacity: int, *, reservoir: torch.Generator | None = None) -> None:
        if capacity < 1:
            raise InputError(f"capacity is {capacity}; it must be at least 1.")
        self.capacity, self.reservoir = capacity, reservoir
        self.columns: dict[str, Tensor] = {}
        self.written = 0
        # A row of storage that nobody reads takes what a reservoir leaves out, so that nothing
        # waits for the device to say how much that is.
        self._spare = 0 if reservoir is None else 1

    def __len__(self) -> int:
        return min(self.written, self.capacity)

    @property
    def full(self) -> bool:
        """Whether the next write overwrites."""
        return self.written >= self.capacity

    def add(self, **samples: Tensor) -> Tensor:
        """Writes a block of samples, each tensor `(count, ...)`.

        Returns:
            The places written, int64. Of a ring `(count,)`; where more than `capacity` samples come
            at once, the last `capacity` of them stay. Of a reservoir `(count,)`, -1 for samples
            that are left out.

        Raises:
            InputError: When names, shapes or lengths do not fit what is stored.
        """
        lengths = {name: len(tensor) for name, tensor in samples.items()}
        count = next(iter(lengths.values()), 0)
        if count == 0 or set(lengths.values()) != {count}:
            raise InputError(f"samples need tensors of one length above 0, not {lengths}.")
        if not self.columns:
            first = next(iter(samples.values()))
            counts = torch.zeros(0, dtype=torch.int64, device=first.device)
            self.columns = {name: t[:0].detach() for name, t in samples.items()}
            self.columns["draws"] = counts
        if set(samples) | {"draws"} != set(self.columns):
            raise InputError(f"the buffer holds {sorted(self.columns)}, not {sorted(samples)}.")
        for name, tensor in samples.items():
            if tensor.shape[1:] != self.columns[name].shape[1:]:
                raise InputError(
                    f"'{name}' has shape {tuple(tensor.shape[1:])} a sample, the buffer holds "
                    f"{tuple(self.columns[name].shape[1:])}."
                )
        self._reserve(min(self.written + count, self.capacity))
        device = self.columns["draws"].device
        if self.reservoir is None:
            kept = slice(max(count - self.capacity, 0), None)
            samples = {name: tensor[kept] for name, tensor in samples.items()}
            arrivals = torch.arange(count, device=device) + self.written
            rows = places = (arrivals % self.capacity)[kept]
        else:
            places = reservoir_places(count, self.written, self.capacity, self.reservoir)
            places = places.to(device)
            if device.type == "cpu":  # where looking costs nothing, only what stays is written
                stays = (places >= 0).nonzero().flatten()
                samples = {name: tensor[stays] for name, tensor in samples.items()}
                rows = places[stays]
            else:
                rows = torch.where(places < 0, self._room, places)
        for name, tensor in samples.items():
            self.columns[name][rows] = tensor.detach().to(self.columns[name].dtype)
        self.columns["draws"][rows] = 0
        self.written += count
        return places

    @property
    def _room(self) -> int:
        """Samples that there is storage for now."""
        return max(len(self.columns["draws"]) - self._spare, 0)

    def _reserve(self, needed: int) -> None:
        """Makes room for `needed` samples, at least doubling what there is."""
        room = self._room
        if needed <= room:
            return
        room = min(max(needed, 2 * room), self.capacity) + self._spare
        for name, old in self.columns.items():
            self.columns[name] = _bank(room, old)
            self.columns[name][: len(old)] = old

    def __getitem__(self, name: str) -> Tensor:
        """The stored part of one column, `(len, ...)`."""
        return self.columns[name][: len(self)]

    def take(self, places: Tensor) -> dict[str, Tensor]:
        """The samples at `places` `(batch,)`, by name; counts the draw.

        Places lie on the samples' device; see `draw` for random ones.
        """
        ones = torch.ones_like(places)
        self.columns["draws"].index_add_(0, places, ones)
        return {name: _rows(self.columns[name], places) for name in self.columns if name != "draws"}

    def draw(self, count: int, rng: torch.Generator) -> dict[str, Tensor]:
        """`count` different samples, uniformly; all of them in random order where there are fewer.

        Raises:
            InputError: When nothing is stored.
        """
        if not self.columns:
            raise InputError("there is nothing to draw from: no sample was added.")
        places = torch.randperm(len(self), generator=rng, device=rng.device)[:count]
        return self.take(places.to(self.columns["draws"].device))

    def state_dict(self) -> dict[str, Any]:
        """Everything stored, for a checkpoint; the generator of a reservoir is not in it."""
        columns = {name: self[name] for name in self.columns}
        return {"written": self.written, "columns": columns}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.written = state["written"]
        for name, saved in state["columns"].items():
            device = self.columns[name].device if name in self.columns else saved.device
            self.columns[name] = _bank(len(saved) + self._spare, saved).to(device)
            self.columns[name][: len(saved)] = saved


def reservoir_places(count: int, seen: int, capacity: int, rng: torch.Generator) -> Tensor:
    """Where a block of arrivals goes in a reservoir; the same as one by one.

    Arrival n, counted from 0, goes to place n while there is room, then to place j of 0 .. n drawn
    uniformly, and nowhere where j is beyond the capacity. Of arrivals that share a place the last
    one stays.

    Args:
        count: Arrivals in the block.
        seen: Arrivals before it.
        capacity: Places there are.
        rng: One 63-bit number an arrival: `j` is off uniform by less than `(n + 1) / 2^63`.

    Returns:
        `(count,)`, int64, on the generator's device: different places, or -1.
    """
    arrivals = torch.arange(seen, seen + count, device=rng.device)
    bits = torch.randint(2**63 - 1, (count,), generator=rng, device=rng.device)
    places = torch.where(arrivals < capacity, arrivals, bits % (arrivals + 1))
    # Equal places come to lie side by side, in order of arrival.
    order = places.argsort(stable=True)
    ordered = places[order]
    last = torch.ones_like(ordered, dtype=torch.bool)
    last[:-1] = ordered[1:] != ordered[:-1]
    stays = torch.empty_like(last).scatter_(0, order, last) & (places < capacity)
    return torch.where(stays, places, -1)


def _bank(capacity: int, like: Tensor) -> Tensor:
    """Room for `capacity` samples; images channels last, as networks want them."""
    bank = torch.zeros((capacity, *like.shape[1:]), dtype=like.dtype, device=like.device)
    return bank.contiguous(memory_format=torch.channels_last) if like.dim() == 4 else bank


def _rows(bank: Tensor, places: Tensor) -> Tensor:
    """`bank[places]`; images stay channels last, which `index_select` alone would not keep."""
    if bank.dim() != 4:
        return bank.index_select(0, places)
    return bank.permute(0, 2, 3, 1).index_select(0, places).permute(0, 3, 1, 2)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, rounded to nearest, in one contiguous channels-last block."""
    pixels = (images.detach() * 255).round_().clamp_(0, 255)
    return pixels.to(torch.uint8, memory_format=torch.channels_last)


def to_floats(pixels: Tensor) -> Tensor:
    """uint8 images as fp32 in [0, 1], channels last."""
    return pixels.to(torch.float32, memory_format=torch.channels_last).div_(255)
