"""Files of the idx format, in which MNIST and its likes are published."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

from bequest.errors import InputError

_BYTES = 0x08


def read_idx(path: Path) -> torch.Tensor:
    """Reads an idx file of bytes, plain or packed with gzip (``.gz``).

    The format: two zero bytes, the type (8: unsigned bytes, the only one read here), the number
    of dimensions, each dimension as four bytes with the highest first, then the values.

    Returns:
        A uint8 tensor with the dimensions of the file.

    Raises:
        InputError: if the file is missing, damaged, cut short, too long or of another format.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"'{path}' cannot be read ({error}): it is missing, damaged or cut short. Delete it "
            "and get it again."
        ) from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _BYTES:
        raise InputError(
            f"'{path}' is no idx file of bytes: it should begin with 00 00 08, but begins with "
            f"{content[:3].hex(' ') or 'nothing'}."
        )
    dimensions = content[3]
    start = 4 + 4 * dimensions
    if not dimensions or len(content) < start:
        raise InputError(f"'{path}' is cut short in its header. Delete it and get it again.")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise InputError(
            f"'{path}' says {' x '.join(map(str, shape))} values, {expected:,} bytes in all, but "
            f"has {len(content):,}: it is cut short or damaged. Delete it and get it again."
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def read_pair(images: Path, labels: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Images ``(number, 1, height, width)`` as uint8 and labels ``(number,)`` as int64.

    Raises:
        InputError: as :func:`read_idx`, and if the two files don't belong together.
    """
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or classes.shape != pixels.shape[:1]:
        raise InputError(
            f"'{images}' has the shape {tuple(pixels.shape)} and '{labels}' "
            f"{tuple(classes.shape)}: expected (number, height, width) and (number,)."
        )
    return pixels.unsqueeze(1), classes.long()
