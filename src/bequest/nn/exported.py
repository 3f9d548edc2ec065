"""Networks from torch.export files, with their BatchNorm and linear layers put back.

An exported program is a flat graph of operators: its BatchNorm has no module to listen to, and
``train()`` and ``eval()`` raise. Here each BatchNorm and linear operator becomes the layer that it
was, with the same parameters under the same names, so that the network can be used as a teacher
by every method. Its other operators stay as they were exported: dropout, for instance, stays off.
Linear layers come back only from a program without decompositions, BatchNorm from both.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from bequest.errors import InputError
from bequest.nn.archive import read_audited

_BATCH_NORM = torch.ops.aten.batch_norm.default
_FROZEN_BATCH_NORM = torch.ops.aten._native_batch_norm_legit_no_training.default
_LINEAR = torch.ops.aten.linear.default
_DROPOUT = (torch.ops.aten.dropout.default, torch.ops.aten.feature_dropout.default)
_BATCH_NORM_BY_RANK = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}


def load_exported(path: Path) -> fx.GraphModule:
    """Opens a ``.pt2`` file as a module in evaluation mode.

    Args:
        path: written by ``torch.export.save``, exported in evaluation mode with a dynamic batch
            dimension. It is audited first (:func:`bequest.nn.archive.read_audited`).

    Returns:
        A module that takes images ``(batch, channels, height, width)``; ``train()``, ``eval()``,
        ``to()`` and hooks on BatchNorm work.

    Raises:
        InputError: for a file that is missing, damaged or unsafe, exported in training mode, with
            a fixed batch size, or with other inputs than one tensor.
    """
    if not path.is_file():
        raise InputError(f"There is no exported network '{path}'.")
    content = read_audited(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(content)
    except Exception as error:
        raise InputError(
            f"'{path}' cannot be opened by torch {torch.__version__} ({error}): "
            "export it with this version, on the CPU."
        ) from error
    return restore_layers(program, source=f"'{path}'")


def restore_layers(program: torch.export.ExportedProgram, *, source: str) -> fx.GraphModule:
    """Turns an exported program into a module with BatchNorm and linear layers.

    Args:
        program: exported in evaluation mode with a dynamic batch dimension.
        source: what to call it in messages.

    Raises:
        InputError: see :func:`load_exported`.
    """
    # The guards would check the exported sizes again in every forward pass.
    flat = program.module(check_guards=False)
    graph = flat.graph
    _require_one_image_batch(graph, source=source)
    for node in list(graph.nodes):
        if _is_training(node):
            raise InputError(
                f"{source} was exported in training mode: call network.eval() before "
                "torch.export.export."
            )
        if node.op == "call_function" and "_assert" in str(node.target):
            # Assertions about the device of the export would forbid any other device.
            graph.erase_node(node)
        elif node.target in (_BATCH_NORM, _FROZEN_BATCH_NORM):
            _restore(flat, node, _batch_norm(flat, node), owner=node.args[3])
        elif node.target is _LINEAR and node.args[1].op == "get_attr":
            _restore(flat, node, _linear(flat, node), owner=node.args[1])
    graph.eliminate_dead_code()
    graph.lint()
    # A fresh module: the exported one forbids train() and eval().
    return fx.GraphModule(flat, graph, class_name="ExportedNetwork").eval()


def _require_one_image_batch(graph: fx.Graph, *, source: str) -> None:
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    shape = getattr(inputs[0].meta.get("val"), "shape", None) if len(inputs) == 1 else None
    if shape is None:
        raise InputError(f"{source} takes {len(inputs)} inputs: it must take one image batch.")
    if len(shape) == 0 or isinstance(shape[0], int):
        raise InputError(
            f"{source} was exported for the fixed input {tuple(shape)}: export it with "
            'dynamic_shapes=({0: torch.export.Dim("batch")},) so that it takes any batch.'
        )


def _is_training(node: fx.Node) -> bool:
    position = 5 if node.target is _BATCH_NORM else 2 if node.target in _DROPOUT else None
    return position is not None and bool(node.args[position])


def _batch_norm(flat: fx.GraphModule, node: fx.Node) -> nn.Module:
    arguments: Any = node.args
    momentum, eps = arguments[6:8] if node.target is _BATCH_NORM else arguments[5:7]
    weight, bias, mean, variance = (_tensor(flat, argument) for argument in arguments[1:5])
    kind = _BATCH_NORM_BY_RANK[len(arguments[0].meta["val"].shape)]
    layer = kind(len(mean), eps=eps, momentum=momentum, affine=False)
    layer.affine = weight is not None
    layer.weight, layer.bias = weight, bias
    layer.running_mean, layer.running_var = mean, variance
    return layer


def _linear(flat: fx.GraphModule, node: fx.Node) -> nn.Module:
    arguments: Any = node.args
    weight = _tensor(flat, arguments[1])
    bias: Any = _tensor(flat, arguments[2]) if len(arguments) > 2 else None
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight, layer.bias = weight, bias
    return layer


def _restore(flat: fx.GraphModule, node: fx.Node, layer: nn.Module, *, owner: Any) -> None:
    """Puts the layer where its tensors were, and calls it instead of the operator."""
    path = owner.target.rpartition(".")[0]
    holder = flat.get_submodule(path)
    if path and set(holder.state_dict()) <= set(layer.state_dict()):
        counter = getattr(holder, "num_batches_tracked", None)
        if counter is not None:
            layer.num_batches_tracked = counter
    else:
        path = f"restored_{node.name}"
    flat.set_submodule(path, layer)
    with node.graph.inserting_before(node):
        call = node.graph.call_module(path, (node.args[0],))
    call.meta = dict(node.meta)
    if node.target is _FROZEN_BATCH_NORM:
        # It gives a tuple, of which inference uses the first.
        for user in list(node.users):
            user.replace_all_uses_with(call)
            node.graph.erase_node(user)
    else:
        node.replace_all_uses_with(call)
    node.graph.erase_node(node)


def _tensor(flat: fx.GraphModule, argument: Any) -> Any:
    """The parameter or buffer behind a graph argument."""
    if argument is None:
        return None
    path, _, name = argument.target.rpartition(".")
    return getattr(flat.get_submodule(path), name)
