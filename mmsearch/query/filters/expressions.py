"""Filter conditions as a tree; written out, it is the language of `where`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mmsearch.query.filters.dates import Period

KEYWORDS = frozenset({"and", "or", "not", "in"})
GPS = "gps"
"""The argument of `has` that stands for a latitude and a longitude."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


Value = str | float | Period


@dataclass(frozen=True, slots=True)
class Compare:
    """Compares a field with a value; `operator` is one of = != < <= > >= ~."""

    field: str
    operator: str
    value: Value

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {_spell_value(self.value)}"


@dataclass(frozen=True, slots=True)
class Among:
    """A field equals one of several values."""

    field: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self.field} in ({', '.join(map(_spell_value, self.values))})"


@dataclass(frozen=True, slots=True)
class Has:
    """A field is known, or `gps`."""

    field: str

    def __str__(self) -> str:
        return f"has({self.field})"


@dataclass(frozen=True, slots=True)
class Near:
    """A place within some kilometres of another."""

    latitude: float
    longitude: float
    radius_km: float

    def __str__(self) -> str:
        place = f"{_format_number(self.latitude)}, {_format_number(self.longitude)}"
        return f"near({place}, {_format_number(self.radius_km)}km)"


@dataclass(frozen=True, slots=True)
class Inside:
    """A place in a box of degrees; one whose west is greater than its east crosses 180 degrees."""

    south: float
    west: float
    north: float
    east: float

    def __str__(self) -> str:
        edges = (self.south, self.west, self.north, self.east)
        return f"inside({', '.join(map(_format_number, edges))})"


@dataclass(frozen=True, slots=True)
class Under:
    """A file below a folder, or the file itself; an absolute path, to the letter."""

    folder: str

    def __str__(self) -> str:
        return f"under({quote(self.folder)})"


@dataclass(frozen=True, slots=True)
class Not:
    """A condition is not met."""

    part: Expression

    def __str__(self) -> str:
        return f"not {_parenthesize(self.part, And, Or)}"


@dataclass(frozen=True, slots=True)
class And:
    """All of several conditions are met."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " and ".join(_parenthesize(part, And, Or) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """Any of several conditions is met."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " or ".join(_parenthesize(part, Or) for part in self.parts)


Expression = Compare | Among | Has | Near | Inside | Under | Not | And | Or


def all_of(parts: Iterable[Expression | None]) -> Expression | None:
    """Joins conditions that must all be met; None for none."""
    conditions = tuple(part for part in parts if part is not None)
    return And(conditions) if len(conditions) > 1 else next(iter(conditions), None)


def any_of(parts: Iterable[Expression]) -> Expression | None:
    """Joins conditions of which one must be met; None for none."""
    conditions = tuple(parts)
    return Or(conditions) if len(conditions) > 1 else next(iter(conditions), None)


def quote(text: str) -> str:
    """Quotes a text, so that `where` reads it as it is."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _parenthesize(part: Expression, *loose: type[And | Or]) -> str:
    return f"({part})" if isinstance(part, loose) else str(part)


def _spell_value(value: Value) -> str:
    if isinstance(value, float):
        return _format_number(value)
    if isinstance(value, Period):
        return str(value)
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in KEYWORDS
    return value if is_plain else quote(value)


def _format_number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
