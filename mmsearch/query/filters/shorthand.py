"""Reads filters that are written in a few characters each as one condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mmsearch.errors import QueryError

if TYPE_CHECKING:
    from mmsearch.query.filters.expressions import Expression

T = TypeVar("T")
_MEASURES = {"size": "10MB", "duration": "5m", "width": "1920", "height": "1080"}
_COUNTS = ("width", "height")


@dataclass(frozen=True, slots=True)
class Shorthand:
    """The texts of the filter options of `mmsearch search`, by the names of the options."""

    where: str | None = None
    after: str | None = None
    before: str | None = None
    ext: str | None = None
    size: str | None = None
    duration: str | None = None
    width: str | None = None
    height: str | None = None
    camera: Sequence[str] | None = None
    artist: Sequence[str] | None = None
    lang: str | None = None
    near: str | None = None
    box: str | None = None

    def condition(self, mark: str = "--") -> Expression | None:
        """Reads all of them as one condition; None where none is given.

        `mark` stands before the names in messages. Raises QueryError for what cannot be read.
        """
        if all(getattr(self, field.name) in (None, [], ()) for field in fields(self)):
            return None
        # Here, so that a search without filters does not wait for their language.
        from mmsearch.query.filters.expressions import all_of
        from mmsearch.query.filters.parser import parse

        option = partial(_read_option, mark)
        return all_of(
            [
                option("after", self.after, partial(_compare, "date", ">=")),
                option("before", self.before, partial(_compare, "date", "<")),
                option("ext", self.ext, partial(_match_any, "ext")),
                *(
                    option(name, getattr(self, name), partial(_parse_range, name))
                    for name in _MEASURES
                ),
                option("camera", self.camera, partial(_contain_any, "camera")),
                option("artist", self.artist, partial(_contain_any, "artist")),
                option("lang", self.lang, partial(_match_any, "language")),
                option("near", self.near, _parse_near),
                option("box", self.box, _parse_box),
                option("where", self.where, parse),
            ]
        )


def _read_option(
    mark: str, name: str, value: T | None, read: Callable[[T], Expression]
) -> Expression | None:
    if value is None or value in ([], ()):
        return None
    try:
        return read(value)
    except QueryError as exc:
        raise QueryError(f"{mark}{name}: {exc}") from exc


def _compare(field: str, operator: str, value: str) -> Expression:
    from mmsearch.query.filters import fields
    from mmsearch.query.filters.expressions import Compare

    return Compare(field, operator, fields.parse_value(fields.FIELDS[field], value))


def _match_any(field: str, text: str) -> Expression:
    from mmsearch.query.filters import fields
    from mmsearch.query.filters.expressions import Among

    field_type = fields.FIELDS[field]
    parts = [part for part in text.split(",") if part.strip()] or [text]
    return Among(field, tuple(fields.parse_value(field_type, part) for part in parts))


def _contain_any(field: str, names: Sequence[str]) -> Expression:
    from mmsearch.query.filters.expressions import Or

    parts = tuple(_compare(field, "~", name) for name in names)
    return parts[0] if len(parts) == 1 else Or(parts)


def _parse_range(field: str, text: str) -> Expression:
    from mmsearch.query.filters.expressions import all_of

    low, dots, high = (part.strip() for part in text.partition(".."))
    if not dots and field in _COUNTS:
        return _compare(field, "=", text)
    condition = all_of(
        [_compare(field, ">=", low) if low else None, _compare(field, "<=", high) if high else None]
    )
    if condition is None or not dots:
        example = _MEASURES[field]
        raise QueryError(f"{text[:40]!r} is no range: write {example}.. or ..{example}")
    return condition


def _parse_near(text: str) -> Expression:
    from mmsearch.query.filters import quantities
    from mmsearch.query.filters.expressions import Near
    from mmsearch.query.filters.parser import LATITUDE, LONGITUDE

    latitude, longitude, distance = _split_numbers(text, 3, "47.37,8.54,10km")
    return Near(LATITUDE(latitude), LONGITUDE(longitude), quantities.parse_kilometres(distance))


def _parse_box(text: str) -> Expression:
    from mmsearch.query.filters.expressions import Inside
    from mmsearch.query.filters.parser import LATITUDE, LONGITUDE

    south, west, north, east = _split_numbers(text, 4, "45.8,5.9,47.8,10.5")
    return Inside(LATITUDE(south), LONGITUDE(west), LATITUDE(north), LONGITUDE(east))


def _split_numbers(text: str, count: int, example: str) -> list[str]:
    parts = text.split(",")
    if len(parts) != count:
        raise QueryError(f"{text[:60]!r} is not {count} numbers with commas between: {example}")
    return parts
