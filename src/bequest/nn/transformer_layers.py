"""Into a vision transformer, ours or timm's, by attributes: its blocks, what flows in one of them.

Nothing is rebuilt and no class is asked for: `blocks[i].norm1`, `blocks[i].attn.qkv` (one linear
layer for queries, keys and values) and `blocks[i].attn.num_heads` are all that must be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.nn.normalize import Normalized
from bequest.ops.token_relations import log_relation, relation_scores


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside a `Normalized`, or itself."""
    return network.network if isinstance(network, Normalized) else network


def transformer_blocks(network: nn.Module, *, name: str = "network") -> Sequence[Any]:
    """The blocks of a vision transformer, which may be wrapped in `Normalized`.

    Args:
        network: Has `blocks` as timm's VisionTransformer.
        name: For messages.

    Raises:
        InputError: When there are none, or they have no `norm1`, `attn.qkv` and `attn.num_heads`.
    """
    inner = unwrapped(network)
    wants = (
        "a vision transformer as in timm is needed: blocks, each with norm1, attn.num_heads and "
        "attn.qkv, one linear layer for queries, keys and values"
    )
    blocks = getattr(inner, "blocks", None)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList) or not len(blocks):
        raise InputError(f"The {name} ({type(inner).__name__}) has no blocks; {wants}.")
    for place, block in enumerate(blocks):
        attention = getattr(block, "attn", None)
        found = isinstance(getattr(attention, "qkv", None), nn.Linear)
        if not found or not hasattr(attention, "num_heads") or not hasattr(block, "norm1"):
            raise InputError(
                f"Block {place} of the {name} ({type(inner).__name__}) lacks norm1, attn.qkv or "
                f"attn.num_heads; {wants}."
            )
        if not isinstance(getattr(attention, "q_norm", nn.Identity()), nn.Identity):
            raise InputError(
                f"Block {place} of the {name} normalises queries and keys head by head, so that "
                "its relations cannot be read with another number of heads: take another network."
            )
    return list(blocks)


def prefix_tokens(network: nn.Module) -> int:
    """How many tokens stand before those of the patches: `num_prefix_tokens`, or 1."""
    return int(getattr(unwrapped(network), "num_prefix_tokens", 1))


class LayerTap:
    """One layer of a vision transformer: its queries, keys and values, or the tokens it gives.

    The forward pass ends where that is known: what follows would be computed for nothing.

    Args:
        network: See `transformer_blocks`.
        layer: Counted from 1; 0 is the last.
        name: For messages.

    Attributes:
        heads: Of this layer.
        dim: Channels of its tokens.
        depth: Layers of the network.

    Raises:
        InputError: For a network that is no transformer, or has no such layer.
    """

    def __init__(self, network: nn.Module, layer: int = 0, *, name: str = "network") -> None:
        self.network, self.name = network, name
        self.blocks = transformer_blocks(network, name=name)
        self.depth = len(self.blocks)
        if not 0 <= layer <= self.depth:
            raise InputError(
                f"Layer {layer} of the {name} is asked for, which has 1 to {self.depth}."
            )
        self.layer = layer or self.depth
        self.block = self.blocks[self.layer - 1]
        self.heads = int(self.block.attn.num_heads)
        self.dim = int(self.block.attn.qkv.in_features)

    def projections(self, images: Tensor) -> Tensor:
        """Images to q, k and v of the layer, `(batch, tokens, 3 dim)`."""
        return self._until(self.block.attn.qkv, images)

    def tokens(self, images: Tensor) -> Tensor:
        """Images to the tokens behind the layer, `(batch, tokens, dim)`."""
        return self._until(self.block, images)

    def _until(self, module: nn.Module, images: Tensor) -> Tensor:
        reached = _Reached()
        handle = module.register_forward_hook(reached.stop)
        try:
            self.network(images)
        except _Reached as stop:
            if stop is not reached:
                raise
            # The traceback would keep every activation of the pass alive until garbage collection.
            reached.__traceback__ = None
            return reached.value
        finally:
            handle.remove()
        raise InputError(f"The {self.name} does not call its block {self.layer}.")


class _Reached(Exception):
    """Ends a forward pass where its value is known."""

    value: Tensor

    def stop(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        """A forward hook."""
        self.value = output
        raise self


def attention_relations(
    block: Any, tokens: Tensor, kinds: Iterable[str] = ("qk", "vv"), *, heads: int = 0
) -> dict[str, Tensor]:
    """The relations of one block, by kind.

    Args:
        block: With `norm1`, `attn.qkv` and `attn.num_heads`, as in timm.
        tokens: `(batch, tokens, dim)`, what goes into the block.
        kinds: Two letters of q, k, v each.
        heads: To split into; 0 takes the block's own number.

    Returns:
        Each `(batch, heads, tokens, tokens)`; its rows are in [0, 1] and sum to 1.
    """
    projections = block.attn.qkv(block.norm1(tokens))
    heads = heads or block.attn.num_heads
    return {
        kind: log_relation(relation_scores(projections, kind, heads=heads)).exp() for kind in kinds
    }


@contextmanager
def visible_tokens(network: nn.Module, kept: Tensor | None) -> Iterator[None]:
    """Inside, the blocks of a transformer see its prefix tokens and some of its patches alone.

    Args:
        network: See `transformer_blocks`.
        kept: Places of the patches to keep `(batch, visible)`, the same number for each image, in
            the order in which they shall follow; None keeps all.
    """
    if kept is None:
        yield
        return
    prefix = prefix_tokens(network)

    def choose(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens = inputs[0]
        places = (kept + prefix)[..., None].expand(-1, -1, tokens.shape[-1])
        chosen = torch.cat((tokens[:, :prefix], tokens.gather(1, places)), 1)
        return (chosen, *inputs[1:])

    handle = transformer_blocks(network)[0].register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def drop_path(network: nn.Module, rate: float, rng: torch.Generator) -> Iterator[None]:
    """Inside, attention and MLP of every block but the last are left out for random images.

    Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, with one rate for all blocks;
    what is not left out grows by `1 / (1 - rate)`. A drop path that the network has itself stays.

    Args:
        network: See `transformer_blocks`.
        rate: Chance of being left out, in [0, 1).
        rng: Decides, on the network's device.

    Raises:
        InputError: For another rate.
    """
    if not 0 <= rate < 1:
        raise InputError(f"The rate of drop path is {rate}; it must be in [0, 1).")

    def thin(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        stays = torch.rand(len(output), 1, 1, generator=rng, device=output.device) >= rate
        return output * (stays.to(output.dtype) / (1 - rate))

    blocks = transformer_blocks(network)[:-1] if rate else []
    if not all(hasattr(block, "mlp") for block in blocks):
        raise InputError(
            f"The blocks of {type(unwrapped(network)).__name__} have no mlp, as in timm, that drop "
            "path could leave out: take a drop_path of 0."
        )
    parts = [part for block in blocks for part in (block.attn, block.mlp)]
    handles = [part.register_forward_hook(thin) for part in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
