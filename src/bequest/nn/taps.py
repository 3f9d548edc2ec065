"""Where a backbone is watched: its blocks, or in a plain chain the convolutions that stay.

A tap is the output of a named module, copied when the module returns, so that what later layers
do in place cannot change it.

Trap: in the blocks of torchvision a hook on the last BatchNorm of a block keeps a tensor to which
the block then adds its shortcut, and which it rectifies, in place: what is compared is the output
of the block. Here taps stand at block outputs outright.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules import activation
from torch.nn.modules.batchnorm import _BatchNorm

from bequest.errors import InputError, unknown
from bequest.nn.modes import frozen

_ACTIVATIONS = tuple(
    kind
    for name in activation.__all__
    if issubclass(kind := getattr(activation, name), nn.Module) and name != "MultiheadAttention"
)


class Taps:
    """Keeps what the named modules of a network give; a context manager.

    Args:
        network: On any device.
        names: As in `network.named_modules()`; `""` is the network itself.

    Raises:
        InputError: When there is no module of such a name.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))
        >>> with Taps(network, ["0"]) as taps:
        ...     _ = network(torch.rand(1, 1, 8, 8))
        >>> [tuple(value.shape) for value in taps.values()]
        [(1, 2, 6, 6)]
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        modules = dict(network.named_modules())
        for name in names:
            if name not in modules:
                raise unknown("module to tap", name, modules)
        self.names = tuple(names)
        self._modules = [modules[name] for name in names]
        self._kept: dict[str, Tensor] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        for name, module in zip(self.names, self._modules):
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def values(self) -> list[Tensor]:
        """The tapped tensors of the last forward pass, in the order of the names; once each.

        Raises:
            InputError: When a module was not called, or gave something else than a tensor.
        """
        missing = [name for name in self.names if name not in self._kept]
        if missing:
            raise InputError(
                f"The tapped modules {missing} were not called in the forward pass, or do not "
                "give one tensor: tap others."
            )
        values = [self._kept[name] for name in self.names]
        self._kept.clear()
        return values

    def _hook(self, name: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                self._kept[name] = output.clone()

        return keep


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module in a forward pass.

    Attributes:
        name: Of the module.
        module: The module.
        output: What it returned.
    """

    name: str
    module: nn.Module
    output: Any

    @property
    def is_map(self) -> bool:
        """Whether it gives one tensor `(batch, channels, height, width)`."""
        return isinstance(self.output, Tensor) and self.output.dim() == 4


@torch.no_grad()
def trace(network: nn.Module, images: Tensor) -> list[Call]:
    """The calls of all modules in one forward pass in eval mode, in the order of their ends.

    Args:
        network: Left as it is.
        images: `(batch, channels, height, width)`.

    Raises:
        InputError: When the network refuses them.
    """
    calls: list[Call] = []

    def hook_of(name: str) -> Any:
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            calls.append(Call(name, module, output))

        return note

    handles = [m.register_forward_hook(hook_of(name)) for name, m in network.named_modules()]
    try:
        with frozen(network):
            network(images)
    except Exception as error:
        size = "x".join(map(str, images.shape[1:]))
        raise InputError(
            f"{type(network).__name__} cannot take two images of {size} "
            f"({type(error).__name__}: {error}). Check the image size and what the backbone takes."
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return calls


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What of a backbone is watched, and what may become narrower.

    Attributes:
        taps: Names of modules whose outputs keep their width, in order of execution.
        candidates: Names of the convolutions that may lose filters, in order of execution.
        head: Names of the leaf modules that are called after the last tap, which nothing trains.
    """

    taps: tuple[str, ...]
    candidates: tuple[str, ...]
    head: tuple[str, ...]


def layout(backbone: nn.Module, images: Tensor, *, taps: Sequence[str] = ()) -> Layout:
    """Finds the taps of a backbone and the convolutions that may be pruned between them.

    Blocks are the outermost modules with two or more convolutions whose class occurs more than
    once, as in all residual networks: they are tapped, and convolutions inside them are
    candidates (their stem, shortcuts and outputs stay). In a plain chain the first convolution and
    the last one at each resolution stay and are tapped behind their activation; the others are
    candidates; where there are none, every second one stays.

    Args:
        backbone: With convolutions; traced in eval mode.
        images: A small batch for the trace, as the backbone takes them.
        taps: Names of modules to tap instead; every convolution that is not the last one before a
            tap is a candidate then.

    Raises:
        InputError: For a backbone without convolutions, and for taps that do not exist or do not
            give feature maps.
    """
    calls = trace(backbone, images)
    convolutions = [call for call in calls if isinstance(call.module, nn.Conv2d)]
    if not convolutions:
        raise InputError(
            f"{type(backbone).__name__} has no nn.Conv2d layer that could be pruned. (Networks "
            "from torch.export files have operators in place of layers: name the original.)"
        )
    if taps:
        chosen = tuple(taps)
        Taps(backbone, chosen)  # refuses unknown names
        candidates = [call.name for call in convolutions]
    else:
        chosen, candidates = _automatic(backbone, calls, convolutions)
    kept = {_last_convolution(calls, name) for name in chosen}
    ends = [_end(calls, name) for name in chosen]
    head = {call.name for call in calls[max(ends) + 1 :] if not list(call.module.children())}
    order = dict.fromkeys(name for name in candidates if name not in kept)
    return Layout(taps=chosen, candidates=tuple(order), head=tuple(sorted(head)))


def _automatic(
    backbone: nn.Module, calls: list[Call], convolutions: list[Call]
) -> tuple[tuple[str, ...], list[str]]:
    """Taps and candidates as `layout` says."""
    blocks = _blocks(backbone)
    uses = Counter(call.name for call in calls)
    taps = [c.name for c in calls if c.name in blocks and c.is_map and uses[c.name] == 1]
    inside = [c.name for c in convolutions if any(c.name.startswith(f"{tap}.") for tap in taps)]
    if taps:
        # Convolutions behind the last block (as in MobileNet) stay; the last is the output.
        if (last := convolutions[-1]).name not in inside:
            taps.append(_behind(calls, last))
    else:
        stay = _stations(convolutions)
        taps = [_behind(calls, call) for call in stay]
        inside = [call.name for call in convolutions if call not in stay]
    root, final = calls[-1], calls[_end(calls, taps[-1])]
    if root.is_map and root.output is not final.output:
        taps.append(root.name)  # the output of the backbone, which its head takes
    return tuple(taps), inside


def _blocks(backbone: nn.Module) -> set[str]:
    found = {
        name: module
        for name, module in backbone.named_modules()
        if name
        and not isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        and sum(isinstance(inner, nn.Conv2d) for inner in module.modules()) >= 2
    }
    kinds = Counter(type(module) for module in found.values())
    repeated = [name for name, module in found.items() if kinds[type(module)] > 1]
    return {n for n in repeated if not any(n.startswith(f"{other}.") for other in repeated)}


def _stations(convolutions: list[Call]) -> list[Call]:
    """The convolutions of a chain that stay."""
    sizes = [tuple(call.output.shape[2:]) for call in convolutions]
    stay = [
        call
        for i, call in enumerate(convolutions)
        if i in (0, len(sizes) - 1) or sizes[i] != sizes[i + 1]
    ]
    return stay if len(stay) < len(convolutions) else convolutions[::-1][::2][::-1]


def _behind(calls: list[Call], convolution: Call) -> str:
    """The BatchNorm and activation that follow a convolution at once: the last of them."""
    place, name = calls.index(convolution), convolution.name
    for call in calls[place + 1 :]:
        if not isinstance(call.module, (_BatchNorm, *_ACTIVATIONS)) or not call.is_map:
            break
        name = call.name
    return name


def _end(calls: list[Call], name: str) -> int:
    places = [i for i, call in enumerate(calls) if call.name == name]
    if not places or not calls[places[-1]].is_map:
        raise InputError(
            f"The module '{name}' cannot be tapped: it is not called, or does not give one tensor "
            "(batch, channels, height, width)."
        )
    return places[-1]


def _last_convolution(calls: list[Call], name: str) -> str | None:
    """The convolution that was called last when the module returned."""
    before = calls[: _end(calls, name) + 1]
    found = [call.name for call in before if isinstance(call.module, nn.Conv2d)]
    return found[-1] if found else None


__all__ = ["Layout", "Taps", "layout", "trace"]
