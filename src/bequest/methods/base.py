"""How a method is declared: a frozen dataclass whose fields are checked at the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as _dataclass

from bequest.errors import InputError, unknown

T = TypeVar("T")

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""
NonNegativeInt = Annotated[int, Field(ge=0)]
"""A whole number of at least 0."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number above 0."""
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number of at least 0."""
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1]."""
Discount = Annotated[float, Field(gt=0, lt=1)]
"""A number above 0 and below 1."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
def method(cls: type[T]) -> type[T]:
    """Makes a class a method: frozen, keyword-only, types and ranges checked, nothing unknown."""
    config = ConfigDict(extra="forbid", strict=False, allow_inf_nan=True)
    return _dataclass(frozen=True, kw_only=True, config=config)(cls)  # type: ignore[return-value]


def configure(cls: type[T], values: Mapping[str, Any]) -> T:
    """An instance of the dataclass `cls` from plain values, as a file or command line gives them.

    Raises:
        InputError: Names the field, what was given and what is allowed.
    """
    fields = getattr(cls, "__dataclass_fields__", {})
    for name in values:
        if name not in fields:
            raise unknown(f"field of {cls.__name__}", name, fields)
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or cls.__name__} = {e['input']!r}: {e['msg']}"
            for e in error.errors()
        )
        raise InputError(f"{cls.__name__} cannot be configured so: {problems}") from error


def change(instance: T, **values: Any) -> T:
    """A copy with other values, checked like the original."""
    return configure(type(instance), {**asdict(instance), **values})  # type: ignore[call-overload]


__all__ = [
    "Count",
    "Discount",
    "Fraction",
    "NonNegative",
    "NonNegativeInt",
    "Positive",
    "change",
    "configure",
    "method",
]
