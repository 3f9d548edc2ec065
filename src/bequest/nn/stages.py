"""Where two networks are compared: the ends of their stages, resolution by resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bequest.errors import InputError, unknown
from bequest.nn.normalize import Normalized
from bequest.nn.taps import trace

Size = tuple[int, int]
_MOST = 4


def matching_taps(
    student: nn.Module,
    teacher: nn.Module,
    *,
    image_size: tuple[int, int, int],
    student_taps: Sequence[str] = (),
    teacher_taps: Sequence[str] = (),
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The modules of both networks whose outputs are compared, in order of depth.

    A stage ends with the last module that gives a map of its resolution. Stages of one resolution
    are paired, the deepest four at most; where no resolution is common, the deepest with the
    deepest. Taps that are given stay; where one side alone is given, the other follows by
    resolution.

    Args:
        student: Left as it is.
        teacher: Left as it is.
        image_size: `(channels, height, width)`.
        student_taps: Names of modules, as in `named_modules()` of the network itself.
        teacher_taps: As many.

    Raises:
        InputError: For names that do not exist or give no map, different numbers of taps, or
            networks without maps.
    """
    found = _stages(student, image_size), _stages(teacher, image_size)
    if student_taps and teacher_taps:
        ours, theirs = (_given(*pair) for pair in zip(found, (student_taps, teacher_taps)))
        if len(ours) != len(theirs):
            raise InputError(
                f"The student is tapped at {len(ours)} modules ({_listed(ours)}), the teacher at "
                f"{len(theirs)} ({_listed(theirs)}): name as many of both."
            )
        return tuple(name for name, _ in ours), tuple(name for name, _ in theirs)
    if student_taps or teacher_taps:
        named = _given(found[0], student_taps) if student_taps else _given(found[1], teacher_taps)
        others = found[1] if student_taps else found[0]
        followed = tuple(_of_size(others, size) for _, size in named)
        given = tuple(name for name, _ in named)
        return (given, followed) if student_taps else (followed, given)
    ours, theirs = (_ends(maps) for maps in found)
    for label, maps in (("student", ours), ("teacher", theirs)):
        if not maps:
            raise InputError(
                f"The {label} has no feature maps (batch, channels, height, width) to compare: "
                "choose an objective on logits or features."
            )
    sizes = {size: name for name, size in theirs}
    both = [(name, sizes[size]) for name, size in ours if size in sizes]
    if not both:
        count = min(len(ours), len(theirs))
        both = [(a[0], b[0]) for a, b in zip(ours[-count:], theirs[-count:])]
    both = both[-_MOST:]
    return tuple(a for a, _ in both), tuple(b for _, b in both)


def part_of(taps: Sequence[str], which: str) -> tuple[str, ...]:
    """Of taps in order of depth the `middle` one, the `last` one, or all."""
    match which:
        case "middle":
            return (taps[(len(taps) - 1) // 2],)
        case "last":
            return (taps[-1],)
    return tuple(taps)


def own_name(network: nn.Module, name: str) -> str:
    """The name of a module as users say it, without the wrapper that normalises images."""
    prefix = "network."
    if isinstance(network, Normalized) and name.startswith(prefix):
        return name.removeprefix(prefix)
    return name


def _stages(network: nn.Module, image_size: tuple[int, int, int]) -> dict[str, Size]:
    """Every module that gives a map, by its own name, in the order of their last ends."""
    reference = next(network.parameters())
    draw = torch.Generator().manual_seed(0)
    images = torch.rand((2, *image_size), generator=draw).to(reference.device, reference.dtype)
    maps: dict[str, Size] = {}
    for call in trace(network, images):
        if call.is_map:
            name = own_name(network, call.name)
            maps.pop(name, None)
            maps[name] = (call.output.shape[2], call.output.shape[3])
    return maps


def _ends(maps: dict[str, Size]) -> list[tuple[str, Size]]:
    """The last module of each resolution above one pixel."""
    last = {size: name for name, size in maps.items() if size != (1, 1)}
    place = {name: i for i, name in enumerate(maps)}
    return sorted(((n, s) for s, n in last.items()), key=lambda pair: place[pair[0]])


def _given(maps: dict[str, Size], names: Sequence[str]) -> list[tuple[str, Size]]:
    for name in names:
        if name not in maps:
            raise unknown("module with a feature map", name, maps)
    return [(name, maps[name]) for name in names]


def _of_size(maps: dict[str, Size], size: Size) -> str:
    names = [name for name, other in maps.items() if other == size]
    if not names:
        there = ", ".join(f"{h}x{w}" for h, w in dict.fromkeys(maps.values()))
        raise InputError(
            f"A tapped map is {size[0]}x{size[1]}, but the other network has maps of {there} "
            "alone: name the taps of both networks."
        )
    return names[-1]


def _listed(taps: list[tuple[str, Size]]) -> str:
    return ", ".join(f"{name} {h}x{w}" for name, (h, w) in taps)
