"""A student whose features pass through a projector into its teacher's own classifier.

Chen et al., "Knowledge Distillation with the Reused Teacher Classifier" (SimKD), CVPR 2022; used by
Tang et al., "Distribution Shift Matters for Knowledge Distillation", ICCV 2023. The projector and
a copy of the classifier belong to the student from then on: they are part of its weights.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.feature_map import FeatureMap, find_feature_map
from bequest.nn.inspection import penultimate_layer
from bequest.nn.normalize import Normalized

_FIRST, _LAST = "projector.0.weight", "projector.6.weight"
_WRAPPER = "network."


class Projector(nn.Sequential):
    """1x1, 3x3 and 1x1 convolutions, each with BatchNorm and ReLU, narrow between.

    Args:
        in_channels: Of the student's map.
        out_channels: Of the teacher's map.
        factor: By how much narrower than the teacher's map it is inside, 1 or more.
    """

    def __init__(self, in_channels: int, out_channels: int, *, factor: int = 2) -> None:
        inner = max(1, out_channels // factor)
        layers: list[nn.Module] = []
        for before, after, kernel in (
            (in_channels, inner, 1),
            (inner, inner, 3),
            (inner, out_channels, 1),
        ):
            convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class Answer(NamedTuple):
    """One forward pass of a `SharedHeadStudent`.

    Shapes:
        features: `(batch, student's channels, h, w)`, its own last map.
        projected: `(batch, teacher's channels, height, width)`, what the classifier sees.
        logits: `(batch, classes)`, of the shared classifier.
        own_logits: `(batch, classes)`, of the student's own linear layer.
    """

    features: Tensor
    projected: Tensor
    logits: Tensor
    own_logits: Tensor


class SharedHeadStudent(nn.Module):
    """Backbone, projector and the teacher's classifier, which never takes a gradient.

    Args:
        backbone: The student; its own linear layer stays in it, unused.
        projector: From the student's channels to the teacher's.
        head: The teacher's last linear layer, or a copy of it.
        tap: Where the backbone's last feature map is.
        size: Height and width to which larger maps are pooled before the projector.
    """

    size: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        projector: nn.Module,
        head: nn.Linear,
        *,
        tap: FeatureMap,
        size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.backbone, self.projector, self.head = backbone, projector, head
        self.tap = tap
        self.pooled_size = size
        # Among the weights, so that a file of weights says all that is needed to build it again.
        self.register_buffer("size", torch.tensor(size))
        head.requires_grad_(False)

    def answer(self, images: Tensor) -> Answer:
        """Images `(batch, channels, height, width)` to everything on the way to the logits."""
        features, own_logits = self.tap(self.backbone, images)
        projected = self.projector(pool_to(features, self.pooled_size))
        logits = self.head(F.adaptive_avg_pool2d(projected, 1).flatten(1))
        return Answer(features, projected, logits, own_logits)

    def forward(self, images: Tensor) -> Tensor:
        """Images to the logits `(batch, classes)` of the shared classifier."""
        return self.answer(images).logits

    def deployed(self) -> nn.Module:
        """The same network with the normalisation outside, as a file of weights expects it."""
        if not isinstance(self.backbone, Normalized):
            return self
        inner = SharedHeadStudent(
            self.backbone.network,
            self.projector,
            self.head,
            tap=replace(self.tap, layer=self.tap.layer.removeprefix(_WRAPPER)),
            size=self.pooled_size,
        )
        around = Normalized(inner, *self.backbone.constants())
        return around.train(self.training).to(self.size.device)


def share_head(
    student: nn.Module,
    teacher: nn.Module,
    *,
    taught: FeatureMap,
    image_size: tuple[int, int, int],
    factor: int = 2,
) -> SharedHeadStudent:
    """Puts a new projector and a copy of the teacher's last layer behind a student.

    Args:
        student: Any classifier with feature maps; not copied.
        teacher: Its last linear layer is copied.
        taught: The teacher's last feature map.
        image_size: `(channels, height, width)`.
        factor: See `Projector`.
    """
    tap = find_feature_map(student, image_size=image_size, exact=False, name="student")
    return SharedHeadStudent(
        student,
        Projector(tap.channels, taught.channels, factor=factor),
        copy.deepcopy(penultimate_layer(teacher)),
        tap=tap,
        size=(min(tap.size[0], taught.size[0]), min(tap.size[1], taught.size[1])),
    )


def as_saved(
    network: nn.Module, weights: Mapping[str, Tensor], *, image_size: tuple[int, int, int]
) -> nn.Module:
    """What those weights belong to: the network itself, or a `SharedHeadStudent` around it.

    Args:
        network: As its name builds it.
        weights: By name, possibly with the prefix of a normalisation.
        image_size: `(channels, height, width)`.

    Raises:
        InputError: When the weights of projector or classifier are incomplete.
    """
    prefix = _WRAPPER if _WRAPPER + _FIRST in weights else ""
    if prefix + _FIRST not in weights:
        return network
    try:
        inner, in_channels = weights[prefix + _FIRST].shape[:2]
        out_channels = weights[prefix + _LAST].shape[0]
        classes = weights[prefix + "head.weight"].shape[0]
        height, width = weights[prefix + "size"].tolist()
    except (KeyError, ValueError) as error:
        raise InputError(f"The weights of a student with a shared head lack {error}.") from error
    with torch.random.fork_rng(devices=[]):
        projector = Projector(in_channels, out_channels, factor=max(1, out_channels // inner))
        head = nn.Linear(out_channels, classes, bias=prefix + "head.bias" in weights)
    tap = find_feature_map(network, image_size=image_size, exact=False, name="student")
    return SharedHeadStudent(network, projector, head, tap=tap, size=(height, width))


def pool_to(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Averages a map `(batch, channels, height, width)` to `size`, where it is larger."""
    if tuple(features.shape[-2:]) == size:
        return features
    return F.adaptive_avg_pool2d(features, size)
