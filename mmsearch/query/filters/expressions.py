"""What a filter says, as a tree of conditions; written out, it is the language of `where`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mmsearch.query.filters.dates import Period

KEYWORDS = frozenset({"and", "or", "not", "in"})
GPS = "gps"
"""What `has` asks for besides fields: a latitude and a longitude."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


Value = str | float | Period


@dataclass(frozen=True, slots=True)
class Compare:
    """A field against a value; `operator` is one of = != < <= > >= ~."""

    field: str
    operator: str
    value: Value

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {_spelled(self.value)}"


@dataclass(frozen=True, slots=True)
class Among:
    """A field that is equal to one of several values."""

    field: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self.field} in ({', '.join(map(_spelled, self.values))})"


@dataclass(frozen=True, slots=True)
class Has:
    """A field is known, or `gps`."""

    field: str

    def __str__(self) -> str:
        return f"has({self.field})"


@dataclass(frozen=True, slots=True)
class Near:
    """Taken within so many kilometres of a place."""

    latitude: float
    longitude: float
    radius_km: float

    def __str__(self) -> str:
        place = f"{_number(self.latitude)}, {_number(self.longitude)}"
        return f"near({place}, {_number(self.radius_km)}km)"


@dataclass(frozen=True, slots=True)
class Inside:
    """Taken in a box of degrees; one whose west is greater than its east crosses 180 degrees."""

    south: float
    west: float
    north: float
    east: float

    def __str__(self) -> str:
        edges = (self.south, self.west, self.north, self.east)
        return f"inside({', '.join(map(_number, edges))})"


@dataclass(frozen=True, slots=True)
class Under:
    """A file below a folder, or the file itself; an absolute path, to the letter."""

    folder: str

    def __str__(self) -> str:
        return f"under({quoted(self.folder)})"


@dataclass(frozen=True, slots=True)
class Not:
    """What does not meet a condition."""

    part: Expression

    def __str__(self) -> str:
        return f"not {_within(self.part, And, Or)}"


@dataclass(frozen=True, slots=True)
class And:
    """What meets all of several conditions."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " and ".join(_within(part, And, Or) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """What meets any of several conditions."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " or ".join(_within(part, Or) for part in self.parts)


Expression = Compare | Among | Has | Near | Inside | Under | Not | And | Or


def all_of(parts: Iterable[Expression | None]) -> Expression | None:
    """All of what is said; None where nothing is."""
    said = tuple(part for part in parts if part is not None)
    return And(said) if len(said) > 1 else next(iter(said), None)


def any_of(parts: Iterable[Expression]) -> Expression | None:
    """Any of what is said; None where nothing is."""
    said = tuple(parts)
    return Or(said) if len(said) > 1 else next(iter(said), None)


def quoted(text: str) -> str:
    """A text between quotes, so that `where` reads it as it is."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _within(part: Expression, *loose: type[And | Or]) -> str:
    return f"({part})" if isinstance(part, loose) else str(part)


def _spelled(value: Value) -> str:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Period):
        return str(value)
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in KEYWORDS
    return value if is_plain else quoted(value)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
