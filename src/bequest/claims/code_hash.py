"""A hash of the code that can influence a run's outcome, so that no result outlives its code.

Counted are the modules that every run goes through and the families at hand: `execute.py`; all of
`run`, `data`, `ops`, `losses`, `nn`, `metrics`, `memory` and `synthesis`; the modules directly in
`methods` and `studies`; and the packages of the study, of what executes it and of the method (for
ours the family's folders, for a plug-in's its own). Not counted are the command line, reports,
claims, other families and libraries (torch's version is a part of a run's key by itself). Hashed
is the syntax tree without docstrings: a comment, a line break or a better explanation costs
nobody a rerun, any other change does.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_EVERYWHERE = ("run", "data", "ops", "losses", "nn", "metrics", "memory", "synthesis")


def code_hash(modules: Iterable[str]) -> str:
    """Hexadecimal digits of the code behind runs that are made of `modules`.

    Args:
        modules: Full names: of the study, of the function that executes it, of the method.

    Returns:
        32 digits; the same for the same code under the same Python, wherever it is installed.
    """
    files = set(_shared_files())
    for module in modules:
        files |= set(_package_files(module))
    digest = hashlib.sha256()
    for name, path in sorted((_name(path), path) for path in files):
        digest.update(f"{name}\0{_syntax(path, path.stat().st_mtime_ns)}\0".encode())
    return digest.hexdigest()[:32]


def _shared_files() -> Iterator[Path]:
    yield _ROOT / "execute.py"
    yield from (_ROOT / "methods").glob("*.py")
    yield from (_ROOT / "studies").glob("*.py")
    for folder in _EVERYWHERE:
        yield from (_ROOT / folder).rglob("*.py")


def _package_files(module: str) -> Iterator[Path]:
    """The module and its neighbours in the package; the module alone where it has no package."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return
    path = Path(spec.origin)
    if "." in module:
        yield from path.parent.rglob("*.py")
    else:
        yield path


def _name(path: Path) -> str:
    """A name that does not depend on where the code is installed."""
    if path.is_relative_to(_ROOT):
        return path.relative_to(_ROOT).as_posix()
    return f"{path.parent.name}/{path.name}"


@cache
def _syntax(path: Path, modified: int) -> str:
    """The syntax tree without docstrings, as text; `modified` only renews the cache."""
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a template, say; what cannot be parsed counts as it stands
        return hashlib.sha256(text.encode()).hexdigest()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # Also the texts under dataclass fields: a string that stands alone does nothing.
            node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
