"""The fields of `where`: names, types of values, and parsing of values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import partial

from mmsearch.errors import QueryError
from mmsearch.query.filters import quantities
from mmsearch.query.filters.dates import parse_period
from mmsearch.query.filters.expressions import Value
from mmsearch.types import Modality

UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters and bytes that are no UTF-8, which no stored text has."""
_TAG = re.compile(r"[a-z]{2,3}(?:[-_][a-z0-9]{1,8}){0,7}", re.IGNORECASE)


class FieldType(Enum):
    """The type of the values of a field."""

    TEXT = "text"
    NUMBER = "a number"
    TIME = "a time"

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators that compare such a value, besides `in`."""
        return ("=", "!=", "~") if self is FieldType.TEXT else ("=", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Field:
    """A field; `read` parses a value, or raises QueryError."""

    name: str
    holds: FieldType
    read: Callable[[str], Value]


def check_text(text: str) -> str:
    """Checks a text to compare with; raises QueryError for an empty or impossible one."""
    if UNFIT.search(text):
        raise QueryError("a text cannot have control characters, or bytes that are no UTF-8")
    if not text.strip():
        raise QueryError("an empty text finds nothing: has(FIELD) asks whether there is one")
    return text


def _parse_kind(text: str) -> str:
    name = check_text(text).strip().lower()
    if name not in set(Modality):
        raise QueryError(f"there is no kind {name[:40]!r}: kinds are {', '.join(Modality)}")
    return name


def _parse_extension(text: str) -> str:
    return check_text(check_text(text).strip().lstrip(".").lower())


def _parse_language(text: str) -> str:
    tag = check_text(text).strip()
    if _TAG.fullmatch(tag) is None:
        raise QueryError(f"{tag[:40]!r} is no language: write its tag, as de, deu or de-CH")
    return tag


def _build_fields() -> Iterable[Field]:
    yield Field("kind", FieldType.TEXT, _parse_kind)
    yield Field("ext", FieldType.TEXT, _parse_extension)
    yield Field("language", FieldType.TEXT, _parse_language)
    for name in (
        "path", "folder", "name", "format", "camera", "artist", "title", "album", "description",
        "keywords", "location",
    ):  # fmt: skip
        yield Field(name, FieldType.TEXT, check_text)
    yield Field("size", FieldType.NUMBER, quantities.parse_size_bytes)
    yield Field("duration", FieldType.NUMBER, quantities.parse_seconds)
    yield Field("width", FieldType.NUMBER, partial(quantities.parse_count, unit="px"))
    yield Field("height", FieldType.NUMBER, partial(quantities.parse_count, unit="px"))
    yield Field("megapixels", FieldType.NUMBER, partial(quantities.parse_count, unit="MP"))
    yield Field("pages", FieldType.NUMBER, quantities.parse_count)
    yield Field("lat", FieldType.NUMBER, partial(quantities.parse_degrees, bound=90))
    yield Field("lon", FieldType.NUMBER, partial(quantities.parse_degrees, bound=180))
    for name in ("date", "taken", "modified"):
        yield Field(name, FieldType.TIME, parse_period)


FIELDS = {field.name: field for field in _build_fields()}
ALIASES = {
    "extension": "ext",
    "keyword": "keywords",
    "lang": "language",
    "latitude": "lat",
    "longitude": "lon",
    "mp": "megapixels",
}


def find_field(name: str) -> Field:
    """Finds a field by a name of it; raises QueryError, which suggests near names."""
    plain = name.lower()
    field = FIELDS.get(ALIASES.get(plain, plain))
    if field is None:
        raise QueryError(f"there is no field {name[:40]!r}{suggest_name(plain, FIELDS)}")
    return field


def parse_value(field: Field, text: str, *, today: date | None = None) -> Value:
    """Parses a value of a field; raises QueryError for a text that is none."""
    if field.holds is FieldType.TIME:
        return parse_period(text, today=today)
    return field.read(text)


def suggest_name(name: str, names: Iterable[str]) -> str:
    """Returns the advice for an unknown name: the likeliest name, or all."""
    import difflib  # here: only a mistake needs it

    known_names = list(names)
    close = difflib.get_close_matches(name[:40], [*known_names, *ALIASES], n=1)
    if close:
        return f"; did you mean {ALIASES.get(close[0], close[0])}?"
    return f": there are {', '.join(known_names)}"
