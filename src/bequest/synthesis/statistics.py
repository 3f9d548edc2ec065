"""The BatchNorm prior: synthetic batches should have the statistics that the teacher remembers.

DeepInversion (Yin et al., CVPR 2020, eq. 4) adds to the loss of a synthetic batch, for every
BatchNorm layer, the distance between the statistics of the layer's input and the running
statistics of training. Here, as in the public code of DeepInversion and of Fast (Fang et al., AAAI
2022), the distances are plain Euclidean norms of the vectors over channels, not squared:

    sum over layers of  || mean - running_mean ||_2  +  || var - running_var ||_2

with the biased variance. Fast smooths the batch statistics over its rounds: with ``momentum`` m,
``(1 - m) * batch + m * history`` takes the place of the batch's own, and becomes the new history at
the end of a round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from bequest.errors import InputError
from bequest.nn.inspection import batch_norm_layers
from bequest.ops.batch_statistics import batch_norm_with_statistics, batch_statistics


class BatchNormStatistics:
    """Distance between a batch's statistics and those that the teacher's BatchNorm layers hold.

    A context manager. While it is active, each BatchNorm layer of the teacher reports the
    statistics of its input, out of the same operation as its output. The teacher's parameters,
    buffers and ``state_dict`` are never touched; afterwards its layers are as they were.

    In a distributed run the statistics are those of the process's own part of the batch.

    Args:
        teacher: network in eval mode with at least one BatchNorm layer (1d, 2d, 3d, synchronised)
            that keeps running statistics; may be wrapped, in
            :class:`~bequest.nn.normalize.Normalized` or ``DistributedDataParallel`` for instance.
        momentum: share of the history in the statistics that are compared, in [0, 1); 0 compares
            each batch by itself (DeepInversion), Fast takes 0.9.

    Raises:
        InputError: if there is no such layer, or if ``momentum`` is out of range.

    Example:
        >>> teacher = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
        >>> images = torch.rand(8, 3, 6, 6, requires_grad=True)
        >>> with BatchNormStatistics(teacher) as statistics:
        ...     logits = teacher(images)
        ...     statistics.loss().backward()
        >>> images.grad.shape
        torch.Size([8, 3, 6, 6])
    """

    def __init__(self, teacher: nn.Module, *, momentum: float = 0.0) -> None:
        if not 0.0 <= momentum < 1.0:
            raise InputError(f"momentum must be in [0, 1), but is {momentum}.")
        if isinstance(teacher, DistributedDataParallel):
            teacher = teacher.module  # names, and so checkpoints, are those of the network itself
        self.teacher = teacher
        self.momentum = momentum
        self._layers = _layers_with_statistics(teacher)
        self._replaced: list[nn.Module] = []
        self._hooks: list[RemovableHandle] = []
        self._seen: dict[str, tuple[Tensor, Tensor]] = {}
        # Means and variances of layer after layer in one vector, and the layers that it is of.
        self._latest: tuple[list[str], Tensor] | None = None
        self._history: tuple[list[str], Tensor] | None = None
        self._segments: dict[tuple[torch.device, tuple[int, ...]], Tensor] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the BatchNorm layers that are compared, in the order of the modules."""
        return tuple(self._layers)

    def __enter__(self) -> Self:
        """Makes the layers report.

        Raises:
            InputError: if the teacher is in training mode, or reports to somebody already.
        """
        if any(layer.training for layer in self._layers.values()):
            raise InputError(
                "The teacher is in training mode, where BatchNorm layers overwrite the running "
                "statistics that batches are compared with. Call teacher.eval() first."
            )
        if any(map(_is_reporting, self._layers.values())):
            raise InputError(
                "The teacher's BatchNorm layers already report to an active BatchNormStatistics: "
                "leave its `with` block first."
            )
        self._seen.clear()
        for name, layer in self._layers.items():
            reporter = _Reporter(name, layer, self._seen)
            if _has_own_forward(layer):
                self._hooks.append(layer.register_forward_pre_hook(reporter.observe))
            else:
                layer.forward = reporter
                self._replaced.append(layer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives the layers their own ``forward`` back; ``loss()`` of the last pass stays valid."""
        for layer in self._replaced:
            del layer.forward
        for hook in self._hooks:
            hook.remove()
        self._replaced.clear()
        self._hooks.clear()

    def loss(self) -> Tensor:
        """The distance for the forward pass since the last call, summed over its layers.

        Of several passes, or of a layer that a pass uses several times, the last use counts;
        layers that were not reached are left out. Each call needs a pass of its own.

        Returns:
            Scalar >= 0 in float32 (float64 for a float64 teacher), differentiable once.

        Raises:
            InputError: if there was no forward pass, or one through other layers than those of the
                history.
        """
        batch, stored, lengths = self._compared()
        return self._sum_of_norms(batch - stored, lengths)

    def divergence(self) -> Tensor:
        """The same comparison as a divergence of Gaussians: see ``gaussian_divergence``.

        Choi et al., "Data-Free Network Quantization With Adversarial Knowledge Distillation", CVPR
        Workshops 2020. Weighs each channel by its own spread, where ``loss()`` takes large
        channels for more than small ones.

        Returns:
            Scalar >= 0 like that of ``loss()``, summed over layers and channels; called in its
            place.

        Raises:
            InputError: as ``loss()``.
        """
        batch, stored, lengths = self._compared()
        ours, theirs = batch.split(lengths), stored.split(lengths)
        return gaussian_divergence(
            torch.cat(ours[0::2]),
            torch.cat(ours[1::2]),
            torch.cat(theirs[0::2]),
            torch.cat(theirs[1::2]),
        ).sum()

    def update_history(self) -> None:
        """Makes the statistics of the last ``loss()`` the history: once a round, as Fast does it.

        Without momentum there is no history, and nothing happens.

        Raises:
            InputError: if ``loss()`` was not called since the last time.
        """
        if self.momentum == 0.0:
            return
        if self._latest is None:
            raise InputError("There is nothing to remember: call loss() before update_history().")
        self._history, self._latest = self._latest, None

    def reset(self) -> None:
        """Forgets the history and what the last forward pass reported."""
        self._seen.clear()
        self._latest = self._history = None

    def state_dict(self) -> dict[str, Tensor]:
        """The history, for a checkpoint: mean and variance ``(2, channels)`` by layer."""
        if self._history is None:
            return {}
        names, history = self._history
        pieces = history.split([2 * len(_running(self._layers[name])[0]) for name in names])
        return {name: piece.reshape(2, -1).clone() for name, piece in zip(names, pieces)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what ``state_dict()`` gave.

        Raises:
            InputError: if the state is of another teacher: unknown layers or other shapes.
        """
        for name, value in state.items():
            expected = (2, len(_running(self._layers[name])[0])) if name in self._layers else None
            if expected != tuple(value.shape):
                raise InputError(
                    f"The saved statistics of layer '{name}' have shape {tuple(value.shape)}, but "
                    f"this teacher has {expected or 'no such BatchNorm layer'}: the checkpoint "
                    "belongs to another teacher."
                )
        self.reset()
        names = [name for name in self._layers if name in state]
        if names:
            device = _running(self._layers[names[0]])[0].device
            self._history = names, torch.cat([state[n].flatten().to(device) for n in names])

    def _compared(self) -> tuple[Tensor, Tensor, list[int]]:
        """Statistics of the last pass, those of training, and the lengths of their pieces.

        Each vector holds mean and variance of layer after layer.
        """
        if not self._seen:
            raise InputError(
                "There are no batch statistics to compare: run teacher(images) inside "
                "`with statistics:`, once before each statistics.loss()."
            )
        names = [name for name in self._layers if name in self._seen]
        parts = [part for name in names for part in self._seen[name]]
        self._seen.clear()
        batch = torch.cat(parts)
        if self._history is not None:
            known, history = self._history
            if known != names:
                raise InputError(
                    f"This pass went through {len(names)} BatchNorm layers, but the history is of "
                    f"{len(known)}, or of others: call reset() when the teacher's path changes."
                )
            batch = torch.lerp(batch, history, self.momentum)
        self._latest = names, batch.detach()
        stored = torch.cat([part for name in names for part in _running(self._layers[name])])
        return batch, stored.to(batch.dtype), [len(part) for part in parts]

    def _sum_of_norms(self, difference: Tensor, lengths: Sequence[int]) -> Tensor:
        """Sum of the Euclidean norms of consecutive segments of a vector.

        Few operations on one vector, where two norms a layer would launch hundreds of tiny ones.
        """
        key = difference.device, tuple(lengths)
        if key not in self._segments:
            numbers = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
            self._segments = {key: numbers.to(difference.device)}
        squares = difference.new_zeros(len(lengths))
        squares = squares.index_add(0, self._segments[key], difference.square())
        # The root has no slope at 0; the clamp gives an exact match the gradient 0.
        return squares.clamp_min(torch.finfo(squares.dtype).tiny).sqrt().sum()


def gaussian_divergence(
    mean: Tensor, var: Tensor, running_mean: Tensor, running_var: Tensor, *, eps: float = 1e-5
) -> Tensor:
    """`KL(N(mean, var) || N(running_mean, running_var))` of each channel, in nats.

    Args:
        mean: Of the batch, `(channels,)`.
        var: Of the batch, at least 0.
        running_mean: Of training.
        running_var: Of training, at least 0.
        eps: Added to both variances, as in the layer itself: keeps dead channels finite.

    Returns:
        `(channels,)`, at least 0; 0 where both agree.
    """
    ratio = (var + eps) / (running_var + eps)
    shift = (mean - running_mean).square() / (running_var + eps)
    return (ratio + shift - ratio.log() - 1) / 2


class _Reporter:
    """Puts the statistics of one layer where the loss finds them."""

    def __init__(self, name: str, layer: Any, seen: dict[str, tuple[Tensor, Tensor]]) -> None:
        self.name = name
        self.layer = layer
        self.seen = seen

    def __call__(self, input: Tensor) -> Tensor:
        """In place of the ``forward`` of a plain BatchNorm layer."""
        self._require_eval()
        layer = self.layer
        layer._check_input_dim(input)
        output, mean, var = batch_norm_with_statistics(
            input, layer.running_mean, layer.running_var, layer.weight, layer.bias, layer.eps
        )
        self.seen[self.name] = mean, var
        return output

    def observe(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        """As a hook, for layers that do more than batch norm."""
        self._require_eval()
        self.seen[self.name] = batch_statistics(inputs[0])

    def _require_eval(self) -> None:
        if self.layer.training:
            raise InputError(
                f"BatchNorm layer '{self.name}' of the teacher went into training mode while its "
                "statistics were compared: keep the teacher in eval mode inside the `with` block."
            )


def _layers_with_statistics(teacher: nn.Module) -> dict[str, Any]:
    layers = batch_norm_layers(teacher)
    if not layers:
        without = sum(isinstance(module, _BatchNorm) for module in teacher.modules())
        reason = (
            f"none of its {without} BatchNorm layers keeps running statistics"
            if without
            else "it has no BatchNorm layer"
        )
        raise InputError(
            f"{type(teacher).__name__} gives no statistics to compare with: {reason}. Take a "
            "teacher with BatchNorm (track_running_stats=True), or set the weight of the "
            "statistics loss to 0 and use another prior."
        )
    return dict(layers)


def _has_own_forward(layer: nn.Module) -> bool:
    """Whether the layer does something else than the BatchNorm of torch, which must be kept."""
    plain = (_BatchNorm.forward, nn.SyncBatchNorm.forward)
    return "forward" in vars(layer) or type(layer).forward not in plain


def _is_reporting(layer: nn.Module) -> bool:
    if isinstance(vars(layer).get("forward"), _Reporter):
        return True
    hooks = layer._forward_pre_hooks.values()
    return any(isinstance(getattr(hook, "__self__", None), _Reporter) for hook in hooks)


def _running(layer: Any) -> tuple[Tensor, Tensor]:
    return layer.running_mean, layer.running_var
