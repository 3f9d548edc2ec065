"""Structured pruning in one shot: whole filters leave, with everything that is coupled to them.

The library torch-pruning finds what is coupled (BatchNorm, the input of the next convolution,
depthwise convolutions between them) and cuts it. Which filters leave, and how many of which
layer, is decided here: by magnitude, in layers inside blocks only, so that the width of each
block's output stays and the head fits unchanged.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bequest.errors import InputError
from bequest.extras import load_extra
from bequest.nn.cost import parameters
from bequest.nn.modes import frozen
from bequest.nn.narrow import Record, narrowed
from bequest.nn.taps import Layout, Taps

Criterion = Literal["l1", "l2", "bn"]
Rule = Literal["layer-dependent", "uniform"] | Callable[[int, float], float]


def layer_dependent(channels: int, sparsity: float) -> float:
    """The paper's share of filters that a layer loses: wide layers more, narrow ones fewer.

    1.3 times the sparsity for 500 channels or more, 1 times for 201 to 499, 0.4 times below.
    """
    if channels >= 500:
        return 1.3 * sparsity
    return sparsity if channels > 200 else 0.4 * sparsity


_RULES: dict[str, Callable[[int, float], float]] = {
    "layer-dependent": layer_dependent,
    "uniform": lambda channels, sparsity: sparsity,
}


def filter_scores(
    convolution: nn.Conv2d, norm: nn.Module | None = None, *, criterion: Criterion
) -> Tensor:
    """How much each filter matters, `(out_channels,)`, at least 0.

    Args:
        convolution: Weights `(out_channels, in_channels, height, width)`.
        norm: The BatchNorm behind it, for the criterion `bn`.
        criterion: `l1` sums absolute weights, `l2` their squares, `bn` is the absolute scale.

    Raises:
        InputError: For `bn` without a BatchNorm layer that scales.
    """
    if criterion == "bn":
        scale = getattr(norm, "weight", None)
        if not isinstance(scale, Tensor):
            raise InputError(
                "The criterion 'bn' ranks filters by the scale of their BatchNorm, but a "
                "convolution to be pruned has none behind it: choose l1 or l2."
            )
        return scale.detach().abs().float()
    weight = convolution.weight.detach().float().flatten(1)
    return weight.abs().sum(1) if criterion == "l1" else weight.square().sum(1)


def removed_filters(scores: Tensor, share: float, *, min_channels: int, name: str) -> list[int]:
    """Places of the filters that leave: the `int(share * n)` of smallest score, in order.

    Args:
        scores: `(n,)`.
        share: Of the filters, at least 0.
        min_channels: So many stay at least, where there are so many.
        name: What to call the layer in the message.

    Raises:
        InputError: When the share would empty the layer.
    """
    count = len(scores)
    if share >= 1:
        raise InputError(
            f"The sparsity would take {share:.0%} of the {count} filters of '{name}' and empty "
            "the layer: choose a smaller one."
        )
    leaving = max(min(int(count * share), count - min_channels), 0)
    return sorted(scores.argsort(stable=True)[:leaving].tolist())


@dataclass(frozen=True, kw_only=True)
class PruningReport:
    """What pruning really did.

    Attributes:
        kept: Places of the filters that stayed, by the name of the pruned convolution.
        layers: The record with which `narrow` repeats it.
        parameters_before: Of the backbone.
        parameters_after: Of the backbone.
    """

    kept: dict[str, list[int]]
    layers: Record
    parameters_before: int
    parameters_after: int

    @property
    def realised(self) -> float:
        """The share of the backbone's parameters that left; never the nominal sparsity."""
        return 1 - self.parameters_after / self.parameters_before


def prune_backbone(
    backbone: nn.Module,
    images: Tensor,
    plan: Layout,
    *,
    sparsity: float,
    criterion: Criterion = "l1",
    rule: Rule = "layer-dependent",
    min_channels: int = 10,
) -> tuple[nn.Module, PruningReport]:
    """A pruned copy of a backbone whose tapped outputs keep their shape.

    A convolution loses filters when it is one of the plan's candidates, and when nothing is
    coupled to its filters but BatchNorm, depthwise convolutions and the inputs of convolutions:
    sums with a shortcut, linear layers and the backbone's output are left alone.

    Args:
        backbone: Left as it is.
        images: A small batch `(batch, channels, height, width)` as the backbone takes it.
        plan: Of `taps.layout`.
        sparsity: Nominal share of filters, in [0, 1].
        criterion: See `filter_scores`.
        rule: From a layer's channels and the sparsity to the share that it loses.
        min_channels: So many filters stay in each layer at least.

    Raises:
        InputError: When torch-pruning is missing or cannot follow the network, when a layer would
            be emptied, when nothing would be removed, and when a tap would change its shape.
    """
    library = load_extra("torch_pruning", extra="compress")
    share_of = rule if callable(rule) else _RULES[rule]
    pruned = copy.deepcopy(backbone).eval()
    layers = dict(pruned.named_modules())
    graph = _graph(library, pruned, images)
    chosen: dict[str, list[int]] = {}
    for name in plan.candidates:
        layer: Any = layers[name]
        if layer not in graph.module2node or layer.groups > 1:
            continue
        group = graph.get_pruning_group(
            layer, library.prune_conv_out_channels, list(range(layer.out_channels))
        )
        if not _separable(library, group):
            continue
        norm = next((d.target.module for d, _ in group if _is_norm(d.target.module)), None)
        scores = filter_scores(layer, norm, criterion=criterion)
        share = share_of(layer.out_channels, sparsity)
        leaving = removed_filters(scores, share, min_channels=min_channels, name=name)
        if leaving:
            chosen[name] = leaving
    if not chosen:
        raise InputError(
            f"A sparsity of {sparsity:g} removes no filter of {type(backbone).__name__}: of its "
            f"{len(plan.candidates)} candidate convolutions none has more than the {min_channels} "
            "filters that stay at least and that its share would take. Raise the sparsity, lower "
            "min_channels, take the uniform rule, or tap other modules."
        )
    kept = {n: _others(layers[n].out_channels, leaving) for n, leaving in chosen.items()}
    for name, leaving in chosen.items():
        graph.get_pruning_group(layers[name], library.prune_conv_out_channels, leaving).prune()
    _require_same_taps(backbone, pruned, images, plan)
    for original, copied in zip(backbone.parameters(), pruned.parameters()):
        copied.requires_grad_(original.requires_grad)
    report = PruningReport(
        kept=kept,
        layers=narrowed(backbone, pruned),
        parameters_before=parameters(backbone),
        parameters_after=parameters(pruned),
    )
    return pruned, report


def _graph(library: Any, network: nn.Module, images: Tensor) -> Any:
    network.requires_grad_(True)  # the library follows autograd
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return library.DependencyGraph().build_dependency(
                network, example_inputs=images, verbose=False
            )
    except Exception as error:
        raise InputError(
            f"torch-pruning cannot follow {type(network).__name__} "
            f"({type(error).__name__}: {error}). Name a part of it as the backbone."
        ) from error


def _separable(library: Any, group: Any) -> bool:
    """Whether only one convolution, and nothing outside, has the group's channels as output."""
    into = (library.prune_conv_in_channels,)
    through = (library.prune_depthwise_conv_out_channels, library.prune_depthwise_conv_in_channels)
    for position, (dependency, _) in enumerate(group):
        module, function = dependency.target.module, dependency.handler
        if isinstance(module, nn.Conv2d) and function in into:
            if module.groups > 1:
                return False
            continue
        if not dependency.target.outputs:  # the backbone's own output
            return False
        if position and isinstance(module, nn.Conv2d) and function not in through:
            return False
        if isinstance(module, nn.Parameter) or _is_foreign(module):
            return False
    return True


def _is_foreign(module: nn.Module) -> bool:
    """Whether it has parameters of a kind whose cut the record cannot repeat."""
    known = isinstance(module, nn.Conv2d) or _is_norm(module)
    return not known and bool(list(module.parameters()))


def _is_norm(module: Any) -> bool:
    return isinstance(module, _BatchNorm)


def _others(count: int, leaving: list[int]) -> list[int]:
    gone = set(leaving)
    return [place for place in range(count) if place not in gone]


@torch.no_grad()
def _require_same_taps(before: nn.Module, after: nn.Module, images: Tensor, plan: Layout) -> None:
    shapes = []
    for network in (before, after):
        with frozen(network), Taps(network, plan.taps) as taps:
            network(images)
            shapes.append([tuple(value.shape) for value in taps.values()])
    changed = [n for n, one, two in zip(plan.taps, *shapes) if one != two]
    if changed:
        raise InputError(
            f"Pruning would change the width of {changed}, which are compared: tap modules whose "
            "outputs stay, such as whole blocks."
        )
