"""Random numbers that belong to a sample and a seed, not to the order in which they are drawn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def hashed_uniform(places: Tensor, seed: int, number: int) -> Tensor:
    """One number in [0, 1) for each place: always the same for place, seed and number.

    The places go through two rounds of a 32-bit mixer (xor with shifts, times odd constants), with
    seed and number mixed in between; 24 bits of the outcome are the number.

    Args:
        places: Any shape, int64, at least 0.
        seed: At least 0.
        number: Which of the independent numbers of a place and seed.

    Returns:
        fp32, of the shape and on the device of `places`.
    """
    key = _mixed((seed * 64 + number) & _MASK)
    bits = _mixed(_mixed(places & _MASK) ^ key)
    return (bits >> 8).to(torch.float32) / 2**24


def _mixed(bits: Any) -> Any:
    """A bijection of 32-bit numbers, of one or of a tensor of them, in which bits move others."""
    bits = (bits + 0x9E3779B9) & _MASK
    # Factors below 2^31 keep products below 2^63.
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
        bits = ((bits ^ (bits >> shift)) * factor) & _MASK
    return bits ^ (bits >> 15)
