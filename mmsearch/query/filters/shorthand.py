"""What narrows a search down, said in a few characters each, as one condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mmsearch.errors import QueryError

if TYPE_CHECKING:
    from mmsearch.query.filters.expressions import Expression

T = TypeVar("T")
_MEASURES = {"size": "10MB", "duration": "5m", "width": "1920", "height": "1080"}
_COUNTS = ("width", "height")


def narrowed(
    where: str | None = None,
    *,
    after: str | None = None,
    before: str | None = None,
    ext: str | None = None,
    size: str | None = None,
    duration: str | None = None,
    width: str | None = None,
    height: str | None = None,
    camera: Sequence[str] | None = None,
    artist: Sequence[str] | None = None,
    lang: str | None = None,
    near: str | None = None,
    box: str | None = None,
    mark: str = "--",
) -> Expression | None:
    """What all of them ask for together, None where none is given.

    Each is said as the option of that name of `mmsearch search`, and `mark` stands before the names
    in the messages. Raises QueryError for what cannot be read.
    """
    ranges = {"size": size, "duration": duration, "width": width, "height": height}
    plain = (where, after, before, ext, lang, near, box, *ranges.values())
    if not (any(one is not None for one in plain) or camera or artist):
        return None
    # Here, so that a search without filters does not wait for their language.
    from mmsearch.query.filters.expressions import all_of
    from mmsearch.query.filters.parser import parse

    option = partial(_option, mark)
    return all_of(
        [
            option("after", after, partial(_compared, "date", ">=")),
            option("before", before, partial(_compared, "date", "<")),
            option("ext", ext, partial(_among, "ext")),
            *(option(name, said, partial(_range, name)) for name, said in ranges.items()),
            option("camera", camera, partial(_any_containing, "camera")),
            option("artist", artist, partial(_any_containing, "artist")),
            option("lang", lang, partial(_among, "language")),
            option("near", near, _near),
            option("box", box, _box),
            option("where", where, parse),
        ]
    )


def _option(
    mark: str, name: str, said: T | None, read: Callable[[T], Expression]
) -> Expression | None:
    if said is None or said == []:
        return None
    try:
        return read(said)
    except QueryError as exc:
        raise QueryError(f"{mark}{name}: {exc}") from exc


def _compared(field: str, operator: str, said: str) -> Expression:
    from mmsearch.query.filters import fields
    from mmsearch.query.filters.expressions import Compare

    return Compare(field, operator, fields.value(fields.FIELDS[field], said))


def _among(field: str, said: str) -> Expression:
    from mmsearch.query.filters import fields
    from mmsearch.query.filters.expressions import Among

    known = fields.FIELDS[field]
    listed = [one for one in said.split(",") if one.strip()] or [said]
    return Among(field, tuple(fields.value(known, one) for one in listed))


def _any_containing(field: str, said: Sequence[str]) -> Expression:
    from mmsearch.query.filters.expressions import Or

    parts = tuple(_compared(field, "~", one) for one in said)
    return parts[0] if len(parts) == 1 else Or(parts)


def _range(field: str, said: str) -> Expression:
    from mmsearch.query.filters.expressions import all_of

    low, dots, high = (part.strip() for part in said.partition(".."))
    if not dots and field in _COUNTS:
        return _compared(field, "=", said)
    found = all_of(
        [
            _compared(field, ">=", low) if low else None,
            _compared(field, "<=", high) if high else None,
        ]
    )
    if found is None or not dots:
        example = _MEASURES[field]
        raise QueryError(f"{said[:40]!r} is no range: write {example}.. or ..{example}")
    return found


def _near(said: str) -> Expression:
    from mmsearch.query.filters import quantities
    from mmsearch.query.filters.expressions import Near
    from mmsearch.query.filters.parser import LATITUDE, LONGITUDE

    latitude, longitude, distance = _parts(said, 3, "47.37,8.54,10km")
    return Near(LATITUDE(latitude), LONGITUDE(longitude), quantities.kilometres(distance))


def _box(said: str) -> Expression:
    from mmsearch.query.filters.expressions import Inside
    from mmsearch.query.filters.parser import LATITUDE, LONGITUDE

    south, west, north, east = _parts(said, 4, "45.8,5.9,47.8,10.5")
    return Inside(LATITUDE(south), LONGITUDE(west), LATITUDE(north), LONGITUDE(east))


def _parts(said: str, count: int, example: str) -> list[str]:
    parts = said.split(",")
    if len(parts) != count:
        raise QueryError(f"{said[:60]!r} is not {count} numbers with commas between: {example}")
    return parts
