"""Networks from a name: of the zoo, of timm or torchvision, of the user's code, or of a file.

Weights are read by :mod:`bequest.nn.weights`, which runs nothing that a file contains. Only
``module.path:callable`` runs code: the user's own, as any import does.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from bequest.errors import InputError, unknown
from bequest.extras import load_extra
from bequest.nn import zoo
from bequest.nn.inspection import check_network
from bequest.nn.weights import SUFFIXES, load_weights, save_weights

__all__ = ["load_network", "save_weights"]


def load_network(
    spec: str | os.PathLike[str],
    *,
    num_classes: int,
    in_channels: int = 3,
    image_size: tuple[int, int, int] | None = None,
    weights: str | os.PathLike[str] | None = None,
    pretrained: bool = False,
) -> nn.Module:
    """Builds a network and fills it.

    Args:
        spec: one of

            - a name of :func:`bequest.nn.zoo.names`, such as ``resnet20``;
            - ``timm:NAME`` or ``torchvision:NAME``, which need ``bequest[vision]``;
            - ``module.path:callable``, found as Python finds it or in the current folder, and
              called with ``num_classes``, ``in_channels`` (or ``in_chans``), ``image_size`` and
              ``pretrained`` by keyword, as far as its signature takes them;
            - the path of a ``.pt2`` file of ``torch.export.save``: a teacher, see
              :func:`bequest.nn.exported.load_exported`.
        num_classes: how many logits the network gives.
        in_channels: channels of its images.
        image_size: channels, height and width of its images. When given, the network is tried
            with two images (:func:`bequest.nn.inspection.check_network`), and passed to timm
            networks that are built for one size.
        weights: a file for :func:`bequest.nn.weights.load_weights`. Of an ``.npz`` file with
            several groups, the one called like ``spec`` is read.
        pretrained: whether to take the public weights of timm, torchvision or the callable.

    Returns:
        The network in training mode; a ``.pt2`` network in evaluation mode.

    Raises:
        InputError: for anything that is unknown, cannot be imported (with the cause and what to
            install), contradicts itself or does not fit.
    """
    spec = os.fspath(spec)
    if image_size is not None and image_size[0] != in_channels:
        raise InputError(f"image_size says {image_size[0]} channels, in_channels {in_channels}.")
    zoo.check_counts(num_classes=num_classes, in_channels=in_channels)
    if pretrained and weights is not None:
        raise InputError("Give weights from a file or pretrained=True, not both.")
    if spec.endswith(".pt2"):
        network = _from_export(spec, weights=weights, pretrained=pretrained)
    else:
        build = _builder(spec)
        network = build(
            spec.partition(":")[2] or spec,
            num_classes=num_classes,
            in_channels=in_channels,
            image_size=image_size,
            pretrained=pretrained,
        )
    if weights is not None:
        load_weights(network, weights, group=spec)
    if image_size is not None:
        check_network(network, image_size=image_size, num_classes=num_classes, name=spec)
    return network


def _builder(spec: str) -> Callable[..., nn.Module]:
    origin, colon, _ = spec.partition(":")
    if colon and origin in ("timm", "torchvision"):
        return _from_timm if origin == "timm" else _from_torchvision
    if spec.endswith(SUFFIXES):
        raise InputError(
            f"'{spec}' holds weights, but not the network they belong to: name the network and "
            "give the file as weights."
        )
    if not colon:
        return _from_zoo
    return lambda _, **arguments: _from_callable(spec, **arguments)


def _from_zoo(
    name: str, *, num_classes: int, in_channels: int, image_size: object, pretrained: bool
) -> nn.Module:
    network = zoo.build(name, num_classes=num_classes, in_channels=in_channels)
    if pretrained:
        raise InputError(f"'{name}' comes without public weights: give a file as weights.")
    return network


def _from_export(
    path: str, *, weights: str | os.PathLike[str] | None, pretrained: bool
) -> nn.Module:
    # Imported here: the machinery of torch.export is heavy and rarely needed.
    from bequest.nn.exported import load_exported

    if weights is not None or pretrained:
        raise InputError(f"'{path}' brings its own weights: leave out weights and pretrained.")
    return load_exported(Path(path))


def _from_timm(
    name: str,
    *,
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int, int] | None,
    pretrained: bool,
) -> nn.Module:
    timm = _vision("timm")
    if not timm.is_model(name):
        raise unknown("timm network", name, timm.list_models())
    if pretrained:
        config = timm.get_pretrained_cfg(name)
        _require_same_classes(f"timm:{name}", getattr(config, "num_classes", None), num_classes)
    arguments: dict[str, Any] = {
        "pretrained": pretrained,
        "num_classes": num_classes,
        "in_chans": in_channels,
    }
    sizes = [{}] if image_size is None else [{"img_size": image_size[1:]}, {}]
    for size in sizes:
        try:
            return timm.create_model(name, **arguments, **size)
        except TypeError as error:
            # Transformers are built for one size, convolutional networks don't know the word.
            if "img_size" not in str(error):
                raise _cannot_build(f"timm:{name}", error) from error
        except Exception as error:
            raise _cannot_build(f"timm:{name}", error) from error
    raise InputError(f"'timm:{name}' cannot be built for images of {image_size}.")


def _from_torchvision(
    name: str, *, num_classes: int, in_channels: int, image_size: object, pretrained: bool
) -> nn.Module:
    models = _vision("torchvision.models")
    if name not in models.list_models():
        raise unknown("torchvision network", name, models.list_models())
    if in_channels != 3:
        raise InputError(f"'torchvision:{name}' takes 3 image channels, not {in_channels}.")
    chosen = None
    if pretrained:
        chosen = models.get_model_weights(name).DEFAULT
        categories = chosen.meta.get("categories")
        known = None if categories is None else len(categories)
        _require_same_classes(f"torchvision:{name}", known, num_classes)
    try:
        return models.get_model(name, weights=chosen, num_classes=num_classes)
    except Exception as error:
        raise _cannot_build(f"torchvision:{name}", error) from error


def _from_callable(
    spec: str,
    *,
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int, int] | None,
    pretrained: bool,
) -> nn.Module:
    offered: dict[str, Any] = {
        "num_classes": num_classes,
        "in_channels": in_channels,
        "in_chans": in_channels,
        "image_size": image_size,
        "pretrained": pretrained,
    }
    if image_size is None:
        del offered["image_size"]
    with _current_folder():
        factory = _find(spec)
        taken = _parameters(factory)
        if pretrained and "pretrained" not in taken:
            raise InputError(f"'{spec}' takes no 'pretrained': give a file as weights.")
        try:
            network = factory(**{name: offered[name] for name in offered if name in taken})
        except Exception as error:
            raise _cannot_build(spec, error) from error
    if not isinstance(network, nn.Module):
        raise InputError(f"'{spec}' gave a {type(network).__name__}, not a torch.nn.Module.")
    return network


def _find(spec: str) -> Callable[..., Any]:
    path, _, attribute = spec.partition(":")
    try:
        found: Any = importlib.import_module(path)
    except Exception as error:
        raise InputError(
            f"'{path}' of '{spec}' cannot be imported ({type(error).__name__}: {error}). "
            "Install it, or start from the folder that it is in."
        ) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            known = [key for key, value in vars(found).items() if callable(value)]
            raise unknown(f"callable in '{path}'", name, known)
        found = getattr(found, name)
    if not callable(found):
        raise InputError(f"'{spec}' is a {type(found).__name__}, not something to call.")
    return found


def _parameters(factory: Callable[..., Any]) -> set[str]:
    """What it takes by keyword; ``num_classes`` too where it takes any keyword."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return set()
    keywords = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    taken = {parameter.name for parameter in parameters if parameter.kind in keywords}
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        taken.add("num_classes")
    return taken


def _vision(module: str) -> Any:
    """Timm or torchvision."""
    return load_extra(
        module, extra="vision", advice="; torch and torchvision must be of matching builds."
    )


def _require_same_classes(spec: str, known: int | None, wanted: int) -> None:
    # The libraries would fill the last layer at random, and a teacher must not guess.
    if known is not None and known != wanted:
        raise InputError(
            f"The public weights of '{spec}' tell {known} classes, not {wanted}: set num_classes "
            f"to {known}, or fine-tune it and give your own weights."
        )


def _cannot_build(spec: str, error: Exception) -> InputError:
    return InputError(f"'{spec}' cannot be built ({type(error).__name__}: {error}).")


@contextmanager
def _current_folder() -> Iterator[None]:
    """Lets imports find modules in the current folder, after all others."""
    folder = os.getcwd()
    if folder in sys.path:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
