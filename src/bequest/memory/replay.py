"""A bank of samples on the device: preallocated, written in blocks, drawn in batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bequest.errors import InputError


class ReplayBuffer:
    """A ring of at most `capacity` samples, each a set of named tensors.

    Storage lies on the device of what is written first, in its type (images as uint8: see
    `to_bytes`), and doubles as needed up to the capacity. A full buffer overwrites its oldest
    entries. How often each entry was drawn is counted.

    Args:
        capacity: Largest number of samples, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise InputError(f"capacity is {capacity}; it must be at least 1.")
        self.capacity = capacity
        self.columns: dict[str, Tensor] = {}
        self.written = 0

    def __len__(self) -> int:
        return min(self.written, self.capacity)

    @property
    def full(self) -> bool:
        """Whether the next write overwrites."""
        return self.written >= self.capacity

    def add(self, **samples: Tensor) -> Tensor:
        """Writes a block of samples, each tensor `(count, ...)`.

        Returns:
            The places written, `(count,)` int64. Where more than `capacity` samples come at once,
            the last `capacity` of them stay.

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
        self._reserve(min(self.written + count, self.capacity))
        device = self.columns["draws"].device
        places = (torch.arange(count, device=device) + self.written) % self.capacity
        kept = slice(max(count - self.capacity, 0), None)
        for name, tensor in samples.items():
            if tensor.shape[1:] != self.columns[name].shape[1:]:
                raise InputError(
                    f"'{name}' has shape {tuple(tensor.shape[1:])} a sample, the buffer holds "
                    f"{tuple(self.columns[name].shape[1:])}."
                )
            self.columns[name][places[kept]] = tensor[kept].detach().to(self.columns[name].dtype)
        self.columns["draws"][places[kept]] = 0
        self.written += count
        return places[kept]

    def _reserve(self, needed: int) -> None:
        """Makes room for `needed` samples, at least doubling what there is."""
        room = len(self.columns["draws"])
        if needed <= room:
            return
        room = min(max(needed, 2 * room), self.capacity)
        for name, old in self.columns.items():
            self.columns[name] = _bank(room, old)
            self.columns[name][: len(old)] = old

    def __getitem__(self, name: str) -> Tensor:
        """The stored part of one column, `(len, ...)`."""
        return self.columns[name][: len(self)]

    def take(self, places: Tensor) -> dict[str, Tensor]:
        """The samples at `places` `(batch,)`, by name; counts the draw."""
        ones = torch.ones_like(places)
        self.columns["draws"].index_add_(0, places, ones)
        return {name: _rows(self.columns[name], places) for name in self.columns if name != "draws"}

    def state_dict(self) -> dict[str, Any]:
        """Everything stored, for a checkpoint."""
        columns = {name: self[name] for name in self.columns}
        return {"written": self.written, "columns": columns}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.written = state["written"]
        for name, saved in state["columns"].items():
            device = self.columns[name].device if name in self.columns else saved.device
            self.columns[name] = _bank(len(saved), saved).to(device).copy_(saved)


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
