"""Refuses torch.export files that could run code while they are opened.

``torch.export.load`` unpickles parts of a file without protection, evaluates expressions and
resolves operators by name. So the archive is looked through beforehand, and only what a plain
network needs may be in it: raw tensors, ATen operators, arithmetic on sizes.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bequest.errors import InputError

# Everything in an archive lies in one folder, whose name is free.
_MEMBERS = re.compile(
    r"archive_format|archive_version|byteorder|\.data/[\w.]+|extra/.*|models/model\.json"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt"
)
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!__)\w+\.(?!__)\w+|torch\.sym_\w+|math\.[a-z]\w*"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|pow|neg|eq|ne|lt|le|gt|ge|and_|or_)"
)
_CONTAINERS = ("builtins.list", "builtins.tuple", "builtins.dict", "collections.OrderedDict")
_EXPRESSION = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
    ast.Call,
    ast.keyword,
    ast.Name,
    ast.Load,
    ast.Constant,
)
# Sizes are symbols such as s0, s77 or u1; the functions are those of torch's size arithmetic.
_SYMBOL = re.compile(r"[a-z]+\d+")
_FUNCTIONS = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Abs|Eq|Ne|Lt|Le|Gt|Ge|Equality|Unequality"
    r"|GreaterThan|LessThan|StrictGreaterThan|StrictLessThan|And|Or|Not|Mod|PythonMod|FloorDiv"
    r"|CleanDiv|CeilDiv|Where|ModularIndexing|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv"
    r"|ToFloat|TruncToInt|TruncToFloat|CeilToInt|FloorToInt|RoundToInt|Identity|floor|ceiling"
    r"|true|false"
)


def read_audited(path: Path) -> io.BytesIO:
    """Copies a ``.pt2`` file into memory, if it holds a plain network and nothing else.

    Torch must open the copy, not the file: so it cannot see another content than was audited.

    Args:
        path: a file written by ``torch.export.save``.

    Raises:
        InputError: for a file that is damaged, cut short or of another kind, or that holds
            pickled objects, compiled libraries, custom operators or expressions that are more
            than arithmetic.
    """
    contents = _read_members(path)
    for name, content in contents.items():
        inside = name.partition("/")[2]
        if not _MEMBERS.fullmatch(inside):
            raise _refusal(path, f"it holds '{inside}'")
        if name.endswith(".pt") and content and not _is_plain(content):
            raise _refusal(path, f"'{inside}' holds pickled objects")
        if name.endswith(".json"):
            try:
                document = json.loads(content)
            except ValueError as error:
                raise _damage(path, error) from error
            for reason in _suspects(document):
                raise _refusal(path, reason)
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    copy.seek(0)
    return copy


def _read_members(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
    except Exception as error:
        raise _damage(path, error) from error
    if not any(name.endswith("/models/model.json") for name in contents):
        raise _damage(path, "it holds no network")
    return contents


def _suspects(document: Any) -> Iterator[str]:
    """What in a JSON document is not needed by a plain network, as half sentences."""
    if isinstance(document, list):
        for value in document:
            yield from _suspects(value)
    elif isinstance(document, dict):
        for key, value in document.items():
            if key == "use_pickle" and value:
                yield "a tensor in it is pickled"
            elif key == "target" and isinstance(value, str) and not _OPERATORS.fullmatch(value):
                yield f"it calls '{value}', which is no ATen operator"
            elif key == "expr_str" and not _is_arithmetic(value):
                yield f"it evaluates '{value}', which is more than arithmetic on sizes"
            elif key in ("in_spec", "out_spec") and value and not _is_plain_structure(value):
                yield "its inputs or outputs are more than tensors, lists, tuples and dicts"
            yield from _suspects(value)


def _is_plain(content: bytes) -> bool:
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:
        return False
    return True


def _is_arithmetic(expression: Any) -> bool:
    if not isinstance(expression, str) or len(expression) > 2000:
        return False
    try:
        nodes = list(ast.walk(ast.parse(expression.strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_arithmetic_node(node) for node in nodes)


def _is_arithmetic_node(node: ast.AST) -> bool:
    match node:
        case ast.Call():
            return isinstance(node.func, ast.Name)
        case ast.Name(id=name):
            return bool(_SYMBOL.fullmatch(name) or _FUNCTIONS.fullmatch(name))
        case ast.Constant(value=str(name)):
            # Symbol('s77'): the name of a symbol, and never text that is evaluated again.
            return bool(_SYMBOL.fullmatch(name))
        case ast.Constant():
            return isinstance(node.value, int | float)
    return isinstance(node, _EXPRESSION)


def _is_plain_structure(specification: Any) -> bool:
    try:
        _, tree = json.loads(specification)
    except (TypeError, ValueError):
        return False
    pending = [tree]
    while pending:
        node = pending.pop()
        if not isinstance(node, dict) or "__enum__" in str(node.get("context")):
            return False
        if node.get("type") is not None and node["type"] not in _CONTAINERS:
            return False
        pending.extend(node.get("children_spec") or ())
    return True


def _damage(path: Path, reason: object) -> InputError:
    return InputError(f"'{path}' is no torch.export file, or is damaged or cut short ({reason}).")


def _refusal(path: Path, reason: str) -> InputError:
    return InputError(
        f"'{path}' was refused and nothing in it was run: {reason}. Export the plain network with "
        "torch.export.export and torch.export.save of torch 2.9 or newer, or give its class as "
        "module.path:callable with its weights."
    )
