"""How the teacher's images are normalised: asked for, never guessed."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bequest.cli.command import console, say
from bequest.errors import InputError
from bequest.nn.presets import PRESETS, Normalization, preset

OWN = "own"
"""The choice that takes what the teacher's own configuration says."""


def choose(
    normalize: str | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    channels: int,
    may_ask: bool,
    read: Callable[[], str] = input,
) -> Normalization | None:
    """Mean and standard deviation, from the options or by a question.

    Args:
        normalize: Name of a preset, `own`, or None.
        mean: Values of `--mean`; empty when it is not given.
        std: Values of `--std`; empty when it is not given.
        channels: Of the images; constants are one for all or one a channel.
        may_ask: Whether somebody sits before the terminal.
        read: Reads a line.

    Returns:
        The constants, or None for the teacher's own.

    Raises:
        InputError: When nothing is given and nobody can be asked, or too much, or too little.
    """
    if normalize is not None and (mean or std):
        raise InputError("Give either --normalize or --mean and --std.")
    if mean or std:
        if len(mean) != len(std):
            raise InputError(f"--mean has {len(mean)} values and --std has {len(std)}.")
        return _fitting((mean, std), channels=channels, source="--mean and --std")
    if normalize is None:
        if not may_ask:
            raise InputError(
                "How were the teacher's training images normalised? This is not guessed, because "
                "a wrong answer ruins the student silently. Give --normalize NAME or --mean and "
                f"--std:\n{_listed()}"
            )
        normalize = _asked(read)
    if normalize == OWN:
        return None
    return _fitting(preset(normalize), channels=channels, source=f"--normalize {normalize}")


def at_terminal() -> bool:
    """True when a question would reach somebody."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _fitting(constants: Normalization, *, channels: int, source: str) -> Normalization:
    count = len(constants[0])
    if count not in (1, channels):
        raise InputError(f"{source} is for {count} channels, but the images have {channels}.")
    return constants


def _choices() -> dict[str, str]:
    texts = {
        name: f"(image - {' '.join(map(str, mean))}) / {' '.join(map(str, std))}"
        for name, (mean, std) in PRESETS.items()
    }
    texts["none"] = "images in [0, 1] as they are"
    texts[OWN] = "as the teacher's own configuration says (timm networks, our public ones)"
    return texts


def _listed() -> str:
    lines = (f"  {name:10} {text}" for name, text in _choices().items())
    return "\n".join([*lines, "Images are in [0, 1] before it; for 0 .. 255: --std 0.00392157."])


def _asked(read: Callable[[], str]) -> str:
    names = list(_choices())
    out = console(stderr=True)
    out.print("[bold]How were the teacher's training images normalised?[/] From [0, 1] by:")
    for number, (name, text) in enumerate(_choices().items(), start=1):
        out.print(f"  {number}  [cyan]{name:10}[/] {text}")
    while True:
        out.print(f"1 .. {len(names)}, or a name: ", end="")
        answer = read().strip()
        chosen = {str(number): name for number, name in enumerate(names, 1)}.get(answer, answer)
        if chosen in names:
            say("Normalisation:", f"{chosen} (next time: --normalize {chosen})", stderr=True)
            return chosen
