"""What `where` can ask about: each field by its name, what it holds, and how its values read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import partial

from mmsearch.errors import QueryError
from mmsearch.query.filters import quantities
from mmsearch.query.filters.dates import period
from mmsearch.query.filters.expressions import Value
from mmsearch.types import Modality

UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters, and bytes of a command line that were no UTF-8: no stored text has them."""
_TAG = re.compile(r"[a-z]{2,3}(?:[-_][a-z0-9]{1,8}){0,7}", re.IGNORECASE)


class Holds(Enum):
    """What the values of a field are."""

    TEXT = "text"
    NUMBER = "a number"
    TIME = "a time"

    @property
    def operators(self) -> tuple[str, ...]:
        """How such a value can be compared, besides `in`."""
        return ("=", "!=", "~") if self is Holds.TEXT else ("=", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to ask about; `read` makes a value out of text, or raises QueryError."""

    name: str
    holds: Holds
    read: Callable[[str], Value]


def text(written: str) -> str:
    """A text to compare with; raises QueryError for one that is empty or has what text has not."""
    if UNFIT.search(written):
        raise QueryError("a text cannot have control characters, or bytes that are no UTF-8")
    if not written.strip():
        raise QueryError("an empty text finds nothing: has(FIELD) asks whether there is one")
    return written


def _kind(written: str) -> str:
    name = text(written).strip().lower()
    if name not in set(Modality):
        raise QueryError(f"there is no kind {name[:40]!r}: kinds are {', '.join(Modality)}")
    return name


def _extension(written: str) -> str:
    return text(text(written).strip().lstrip(".").lower())


def _language(written: str) -> str:
    tag = text(written).strip()
    if _TAG.fullmatch(tag) is None:
        raise QueryError(f"{tag[:40]!r} is no language: write its tag, as de, deu or de-CH")
    return tag


def _fields() -> Iterable[Field]:
    yield Field("kind", Holds.TEXT, _kind)
    yield Field("ext", Holds.TEXT, _extension)
    yield Field("language", Holds.TEXT, _language)
    for name in (
        "path", "folder", "name", "format", "camera", "artist", "title", "album", "description",
    ):  # fmt: skip
        yield Field(name, Holds.TEXT, text)
    yield Field("size", Holds.NUMBER, quantities.size_bytes)
    yield Field("duration", Holds.NUMBER, quantities.seconds)
    yield Field("width", Holds.NUMBER, partial(quantities.count, unit="px"))
    yield Field("height", Holds.NUMBER, partial(quantities.count, unit="px"))
    yield Field("megapixels", Holds.NUMBER, partial(quantities.count, unit="MP"))
    yield Field("pages", Holds.NUMBER, quantities.count)
    yield Field("lat", Holds.NUMBER, partial(quantities.degrees, bound=90))
    yield Field("lon", Holds.NUMBER, partial(quantities.degrees, bound=180))
    for name in ("date", "taken", "modified"):
        yield Field(name, Holds.TIME, period)


FIELDS = {field.name: field for field in _fields()}
ALIASES = {
    "extension": "ext",
    "lang": "language",
    "latitude": "lat",
    "longitude": "lon",
    "mp": "megapixels",
}


def find(name: str) -> Field:
    """A field by its name or another name for it; raises QueryError, with what is near."""
    plain = name.lower()
    field = FIELDS.get(ALIASES.get(plain, plain))
    if field is None:
        raise QueryError(f"there is no field {name[:40]!r}{nearest(plain, FIELDS)}")
    return field


def value(field: Field, written: str, *, today: date | None = None) -> Value:
    """What a field is compared with; raises QueryError where the text is none of its values."""
    if field.holds is Holds.TIME:
        return period(written, today=today)
    return field.read(written)


def nearest(name: str, names: Iterable[str]) -> str:
    """What to say of a name that there is not: the one that was meant, or all."""
    import difflib  # here: only a mistake needs it

    known = list(names)
    close = difflib.get_close_matches(name[:40], [*known, *ALIASES], n=1)
    if close:
        return f"; did you mean {ALIASES.get(close[0], close[0])}?"
    return f": there are {', '.join(known)}"
