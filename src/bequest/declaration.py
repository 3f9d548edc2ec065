"""What a method declares of itself, read from its source without importing it (or torch).

Help pages and documentation need the fields of a method's dataclass, the text under each and the
claims of its study. All three are literals in the source; the syntax tree holds them.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bequest.catalog import Entry
from bequest.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Field:
    """One hyper-parameter.

    Attributes:
        name: As on the command line, with `_` for `-`.
        annotation: The type as written.
        default: The default value.
        doc: The text under the field.
    """

    name: str
    annotation: str
    default: Any
    doc: str


def fields(entry: Entry) -> list[Field]:
    """The hyper-parameters of a method, in order.

    Raises:
        InputError: When a field has no default or one that is no literal.
    """
    body = _class(entry).body
    found = []
    for statement, following in zip(body, [*body[1:], None]):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        name = statement.target.id
        try:
            default = ast.literal_eval(statement.value) if statement.value else None
        except ValueError as error:
            raise InputError(f"{entry.id}: the default of '{name}' is no literal.") from error
        if statement.value is None:
            raise InputError(f"{entry.id}: the field '{name}' has no default.")
        found.append(
            Field(
                name=name,
                annotation=ast.unparse(statement.annotation),
                default=default,
                doc=_text(following),
            )
        )
    return found


def docstring(entry: Entry) -> str:
    """The module's docstring: what the method does and where ours differs."""
    return ast.get_docstring(_tree(entry.method.split(":")[0])) or ""


def claims(entry: Entry) -> list[dict[str, Any]]:
    """The literal arguments of each `Claim(...)` in the study's source."""
    calls = (n for n in ast.walk(_tree(entry.study.split(":")[0])) if isinstance(n, ast.Call))
    return [
        {k.arg: _literal(k.value) for k in call.keywords if k.arg}
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "Claim"
    ]


def _class(entry: Entry) -> ast.ClassDef:
    module, name = entry.method.split(":")
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise InputError(f"{entry.id}: there is no class {name} in {module}.")


@cache
def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"The module {module} cannot be found.")
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""
