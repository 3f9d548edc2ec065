"""Grey images of other origin than handwriting, made from what installed packages contain.

Characters rendered with matplotlib's fonts, slanted and scaled at random, some dark on light; and
cuttings of the two photographs of scikit-learn. The same on every machine with the same versions.
"""

from __future__ import annotations

import string
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from bequest.data.presence import package_folder
from bequest.errors import InputError

_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
)
_SYMBOLS = "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθκλμνξπρστφχψω&%#@$?!+=<>*/"
_CHARACTERS = string.ascii_letters + string.digits + _SYMBOLS
_CANVAS = 64


@cache
def foreign_images(characters: int, photographs: int, *, side: int) -> torch.Tensor:
    """A fixed mixture of characters and cuttings of photographs, in a fixed random order.

    Args:
        characters: How many of them.
        photographs: How many cuttings.
        side: Height and width.

    Returns:
        `(characters + photographs, 1, side, side)`, uint8. Shared: don't write into it.

    Raises:
        InputError: When matplotlib or scikit-learn lack the files.
    """
    draw = np.random.default_rng(0)
    rows = [_character(draw, side) for _ in range(characters)]
    rows += [_cutting(draw, side) for _ in range(photographs)]
    return torch.from_numpy(np.stack(rows)[draw.permutation(len(rows))])[:, None]


def _character(draw: np.random.Generator, side: int) -> np.ndarray:
    """A light character on dark ground, or one time in ten the other way round."""
    font = _font(_FONTS[draw.integers(len(_FONTS))], int(draw.integers(36, 60)))
    picture = Image.new("L", (_CANVAS, _CANVAS))
    letter = _CHARACTERS[draw.integers(len(_CHARACTERS))]
    centre = _CANVAS / 2 + draw.uniform(-4, 4, 2)
    ImageDraw.Draw(picture).text(tuple(centre), letter, fill=255, font=font, anchor="mm")
    picture = picture.rotate(draw.uniform(-20, 20), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture.resize((side, side), Image.Resampling.BOX))
    return 255 - pixels if draw.random() < 0.1 else pixels


def _cutting(draw: np.random.Generator, side: int) -> np.ndarray:
    """A square of random size and place."""
    photograph = _photograph("china.jpg" if draw.random() < 0.5 else "flower.jpg")
    edge = int(draw.integers(side, 200))
    left = int(draw.integers(photograph.width - edge))
    top = int(draw.integers(photograph.height - edge))
    box = (left, top, left + edge, top + edge)
    return np.asarray(photograph.resize((side, side), Image.Resampling.BOX, box))


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    path = _file("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf")
    return ImageFont.truetype(str(path), size)


@cache
def _photograph(name: str) -> Image.Image:
    with Image.open(_file("scikit-learn", f"datasets/images/{name}")) as picture:
        return picture.convert("L")


def _file(distribution: str, path: str) -> Path:
    folder = package_folder(distribution)
    if folder is None or not (folder / path).is_file():
        raise InputError(f"{distribution} has no file {path}: reinstall {distribution}.")
    return folder / path
