"""Looking into networks: their layers, what flows through them, whether they can be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from bequest.errors import BequestError, InputError
from bequest.nn.weights import require_finite


def penultimate_layer(network: nn.Module) -> nn.Linear:
    """The linear layer that turns features into logits: its input is the penultimate feature.

    It is the last ``nn.Linear`` in the order in which the modules were registered, which is the
    order of execution in all usual classifiers.

    Args:
        network: a classifier.

    Raises:
        InputError: if there is no ``nn.Linear``.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise InputError(
            f"{type(network).__name__} has no nn.Linear that gives its logits: "
            "this needs a classifier that ends in one."
        )
    return layers[-1]


def batch_norm_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The BatchNorm layers that keep running statistics, by name, in order of registration.

    Layers of other libraries count when they have ``running_mean`` and ``running_var`` tensors
    (frozen BatchNorm, for instance); InstanceNorm never does.

    Args:
        network: any module.

    Returns:
        Possibly nothing: what needs statistics says so itself.
    """
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(getattr(module, "running_mean", None), torch.Tensor)
        and isinstance(getattr(module, "running_var", None), torch.Tensor)
        and not isinstance(module, _InstanceNorm)
    }


class FeatureTap:
    """Keeps what goes into a layer during the last forward pass, with its gradient graph.

    The value is a copy: layers that work in place cannot change it afterwards.

    Args:
        module: the layer to listen to; must be called with a tensor as first positional argument.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> with FeatureTap(penultimate_layer(network)) as tap:
        ...     logits = network(torch.rand(3, 1, 2, 2))
        >>> tap.value.shape
        torch.Size([3, 4])
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._value: torch.Tensor | None = None
        self._handle: torch.utils.hooks.RemovableHandle | None = None

    @property
    def value(self) -> torch.Tensor:
        """The input of the layer in the last forward pass.

        Raises:
            BequestError: if the layer has not been called since the tap was opened.
        """
        if self._value is None:
            raise BequestError(
                f"{type(self.module).__name__} was not called while the tap was open: "
                "run the network inside the with block."
            )
        return self._value

    def __enter__(self) -> FeatureTap:
        self._value = None
        self._handle = self.module.register_forward_pre_hook(self._keep)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not inputs or not isinstance(inputs[0], torch.Tensor):
            raise BequestError(
                f"{type(module).__name__} was called without a tensor as first argument: "
                "tap another layer."
            )
        self._value = inputs[0].clone()


def check_network(
    network: nn.Module,
    *,
    image_size: tuple[int, int, int],
    num_classes: int,
    name: str,
    dense: bool = False,
) -> None:
    """Runs two images in [0, 1] through a network, to find out early what would go wrong late.

    Leaves nothing behind: training flags, buffers and random states are as before.

    Args:
        network: any classifier, of images or of pixels, on any device.
        image_size: channels, height and width of its images.
        num_classes: how many logits it should give.
        name: what to call the network in messages, such as ``teacher``.
        dense: whether it should give logits for each pixel.

    Raises:
        InputError: for NaN or infinite weights (named), a network that refuses such images, an
            output that is not ``(2, num_classes)``, or ``(2, num_classes, height, width)`` where
            ``dense``, or that is not finite.
    """
    size = "x".join(str(length) for length in image_size)
    if len(image_size) != 3 or min(image_size) < 1:
        raise InputError(f"The image size must be channels x height x width, not '{size}'.")
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    if any(nn.parameter.is_lazy(value) for value in tensors.values()):
        raise InputError(f"The {name} has layers of unknown shape: run it once on one batch.")
    require_finite(tensors, source=f"The {name}")
    reference = next((v for v in tensors.values() if v.is_floating_point()), torch.empty(0))
    draw = torch.Generator().manual_seed(0)
    images = torch.rand((2, *image_size), generator=draw).to(reference.device, reference.dtype)
    with _untouched(network, device=reference.device):
        network.eval()
        try:
            output = network(images)
        except Exception as error:
            raise InputError(
                f"The {name} cannot take two images of {size} ({type(error).__name__}: {error}). "
                "Check the image size and channels."
            ) from error
    if not isinstance(output, torch.Tensor):
        raise InputError(
            f"The {name} must give one tensor of logits, not a {type(output).__name__}: "
            "wrap it in a module that returns the logits."
        )
    if dense and tuple(output.shape) != (2, num_classes, *image_size[1:]):
        raise InputError(
            f"For two images of {size} the {name} gives a tensor of shape {tuple(output.shape)}, "
            f"not {(2, num_classes, *image_size[1:])}, logits for each pixel: check the number of "
            "classes, and wrap a network with a smaller output in one that enlarges it."
        )
    if not dense and tuple(output.shape) != (2, num_classes):
        raise InputError(
            f"For two images the {name} gives a tensor of shape {tuple(output.shape)}, not "
            f"(2, {num_classes}): check the number of classes and that it returns logits."
        )
    if not output.isfinite().all():
        raise InputError(
            f"The {name} gives NaN or infinite logits for images in [0, 1]: "
            "check its normalisation and its weights."
        )


@contextmanager
def _untouched(network: nn.Module, *, device: torch.device) -> Iterator[None]:
    """Puts training flags, buffers and random generators back afterwards."""
    flags = {module: module.training for module in network.modules()}
    buffers = {
        module: {key: (b, None if b is None else b.clone()) for key, b in module._buffers.items()}
        for module in network.modules()
    }
    devices = [device] if device.type == "cuda" else []
    try:
        # Not inference_mode: tensors that a network caches in its first forward pass (positions,
        # masks) must remain usable in training.
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, flag in flags.items():
            module.training = flag
        for module, kept in buffers.items():
            module._buffers.clear()
            for key, (buffer, content) in kept.items():
                if buffer is not None and content is not None and not buffer.equal(content):
                    buffer.data.copy_(content)
                module._buffers[key] = buffer
