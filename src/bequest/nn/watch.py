"""A network with what objectives of distillation look at: logits, features, maps in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.nn.feature_map import find_feature_map
from bequest.nn.inspection import FeatureTap, penultimate_layer
from bequest.nn.normalize import Normalized
from bequest.nn.shared_head import pool_to, share_head
from bequest.nn.taps import Taps
from bequest.ops.outputs import Outputs


class Watch:
    """Calls a network and keeps more than its logits; hooks are there during the call alone.

    What is tapped is copied when the module returns, so that layers that work in place cannot
    change it, and gradients flow through the copy.

    Args:
        network: Logits `(batch, classes)`; may be wrapped in `Normalized`.
        taps: Names of modules that give maps, as in the network's own `named_modules()`.
        features: Whether to keep the input of the last linear layer.

    Raises:
        InputError: For modules that do not exist, or no linear layer where features are wanted.

    Example:
        >>> from bequest.nn import zoo
        >>> watch = Watch(zoo.build("resnet8", num_classes=10), taps=["layer1"], features=True)
        >>> watch(torch.rand(2, 3, 32, 32)).shapes()
        '10, 64, 16x32x32'
    """

    def __init__(
        self, network: nn.Module, *, taps: Sequence[str] = (), features: bool = False
    ) -> None:
        self.network = network
        inner = network.network if isinstance(network, Normalized) else network
        self.taps = tuple(taps)
        self._taps = Taps(inner, taps)
        self._features = FeatureTap(penultimate_layer(network)) if features else None

    def __call__(self, images: Tensor) -> Outputs:
        """Images `(batch, channels, height, width)` to everything that is watched."""
        with ExitStack() as stack:
            taps = stack.enter_context(self._taps)
            if self._features is not None:
                stack.enter_context(self._features)
            logits = self.network(images)
        maps = tuple(taps.values())
        features = None if self._features is None else self._features.value
        if features is not None and features.dim() != 2:
            raise InputError(
                f"The input of the last linear layer is {tuple(features.shape)}; features must be "
                "(batch, dim): choose an objective on logits."
            )
        return Outputs(logits, features, maps)


class WatchTeacher(Watch):
    """The same for a network that teaches: no gradients, and only in eval mode."""

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Outputs:
        """See `Watch`.

        Raises:
            InputError: For a teacher in training mode.
        """
        require_eval(self.network)
        return super().__call__(images)


class WatchShared:
    """SimKD: a student behind whose projector the teacher's own classifier stands.

    Args:
        student: Any classifier with feature maps; projector and classifier are put behind it.
        teacher: Ends in a feature map, its average over space and one linear layer.
        image_size: `(channels, height, width)`.

    Attributes:
        network: The student with both, a `SharedHeadStudent`.
        taps: The one map that is kept: what the projector gives.
    """

    taps: tuple[str, ...] = ("projector",)

    def __init__(
        self, student: nn.Module, teacher: nn.Module, *, image_size: tuple[int, int, int]
    ) -> None:
        self._taught = find_feature_map(teacher, image_size=image_size, exact=True, name="teacher")
        self._teacher = teacher
        self.network = share_head(student, teacher, taught=self._taught, image_size=image_size)

    def __call__(self, images: Tensor) -> Outputs:
        """Images to the shared classifier's logits and the projected map."""
        answer = self.network.answer(images)
        return Outputs(answer.logits, None, (answer.projected,))

    @torch.no_grad()
    def teacher(self, images: Tensor) -> Outputs:
        """Images to the teacher's logits and its last map, in the projector's resolution.

        Raises:
            InputError: For a teacher in training mode.
        """
        require_eval(self._teacher)
        features, logits = self._taught(self._teacher, images)
        return Outputs(logits, None, (pool_to(features, self.network.pooled_size),))


def require_eval(teacher: nn.Module) -> None:
    """Refuses a teacher in training mode.

    Raises:
        InputError: What it gives would depend on the rest of the batch (BatchNorm) or on chance
            (dropout), and its statistics would move.
    """
    if teacher.training:
        raise InputError(
            f"The teacher ({type(teacher).__name__}) is in training mode, in which its answers "
            "depend on the rest of the batch and its statistics move: call teacher.eval() first."
        )
