"""A method's hyper-parameters as options, made from its source without importing it (or torch)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from typing import Annotated, Any

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from bequest.catalog import Entry
from bequest.declaration import Field
from bequest.declaration import fields as declared

_UNSET = object()
_METHOD_FIELD = "method_field"
_OR_NONE = " | None"


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """How text becomes a value. The range is shown here and checked by the method itself."""

    convert: Callable[[str], Any]
    shown: str


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"'{text}' is neither true nor false")
    return text.lower() == "true"


def _literal(text: str) -> Any:
    """A Python literal, such as `3`, `None` or `(1, 2)`; anything else is text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


_KINDS = {
    "Count": _Kind(convert=int, shown="INT>=1"),
    "NonNegativeInt": _Kind(convert=int, shown="INT>=0"),
    "int": _Kind(convert=int, shown="INT"),
    "Positive": _Kind(convert=float, shown="FLOAT>0"),
    "NonNegative": _Kind(convert=float, shown="FLOAT>=0"),
    "Fraction": _Kind(convert=float, shown="0..1"),
    "float": _Kind(convert=float, shown="FLOAT"),
    "bool": _Kind(convert=_boolean, shown="{true,false}"),
    "str": _Kind(convert=str, shown="TEXT"),
}


def options(entry: Entry, *, taken: Collection[str], unset: str) -> type[Any]:
    """A dataclass with an option for each hyper-parameter of the method; none is set.

    Args:
        entry: Row of the method.
        taken: Names of other options; a hyper-parameter of such a name becomes `--method-NAME`.
        unset: What holds for an option that is not given, for the help.
    """
    made = []
    for one in declared(entry):
        name = f"method_{one.name}" if one.name in taken else one.name
        hint = tyro.conf.arg(help=one.doc, help_behavior_hint=f"(default: {one.default})")
        kept = field(default=_UNSET, metadata={_METHOD_FIELD: one.name})
        made.append((name, Annotated[Any, _spec(one), hint], kept))
    cls = make_dataclass("Hyperparameters", made, frozen=True, kw_only=True)
    cls.__doc__ = f"Hyper-parameters of {entry.name}. Without them: {unset}."
    return cls


def with_options(command: type[Any], entry: Entry, *, unset: str) -> type[Any]:
    """The command with a further field `hyperparameters`, of the class that `options` makes."""
    cls = options(entry, taken=_names(command), unset=unset)
    annotation = Annotated[
        cls,  # type: ignore[valid-type]
        tyro.conf.arg(name=entry.id),
        tyro.conf.OmitArgPrefixes,
    ]
    added = [("hyperparameters", annotation, field(default_factory=cls))]
    return make_dataclass(command.__name__, added, bases=(command,), frozen=True, kw_only=True)


def _names(command: type[Any]) -> set[str]:
    """Of all options of a command, also of those in groups."""
    names = {one.name for one in fields(command)}
    for one in fields(command):
        group: Any = one.default_factory
        if isinstance(group, type) and is_dataclass(group):
            names |= _names(group)
    return names


def given(hyperparameters: Any) -> dict[str, Any]:
    """The hyper-parameters that were really given, by the method's own names."""
    if hyperparameters is None:
        return {}
    values = (
        (one.metadata[_METHOD_FIELD], getattr(hyperparameters, one.name))
        for one in fields(hyperparameters)
    )
    return {name: value for name, value in values if value is not _UNSET}


def _spec(one: Field) -> PrimitiveConstructorSpec[Any]:
    kind = _kind(one.annotation)
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.shown,
        instance_from_str=lambda words: kind.convert(words[0]),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [str(one.default)],
    )


def _kind(annotation: str) -> _Kind:
    if annotation.endswith(_OR_NONE):
        kind = _kind(annotation.removesuffix(_OR_NONE))
        return _Kind(
            convert=lambda text: None if text == "None" else kind.convert(text),
            shown=f"{kind.shown}|None",
        )
    if annotation in _KINDS:
        return _KINDS[annotation]
    if annotation.startswith("Literal["):
        choices = ast.literal_eval(f"({annotation.removeprefix('Literal[')[:-1]},)")
        return _Kind(convert=_choice(choices), shown="{" + ",".join(map(str, choices)) + "}")
    return _Kind(convert=_literal, shown="TUPLE" if annotation.startswith("tuple[") else "VALUE")


def _choice(choices: tuple[Any, ...]) -> Callable[[str], Any]:
    by_text = {str(choice): choice for choice in choices}

    def convert(text: str) -> Any:
        if text not in by_text:
            raise ValueError(f"'{text}' is none of {', '.join(by_text)}")
        return by_text[text]

    return convert
