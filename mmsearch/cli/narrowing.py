"""The options that narrow a search down, and the condition that they come to together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mmsearch.errors import QueryError

if TYPE_CHECKING:
    from mmsearch.search.expressions import Expression

T = TypeVar("T")
PANEL = "Filters"

AfterOption = Annotated[
    str | None,
    typer.Option(
        "--after",
        metavar="DATE",
        rich_help_panel=PANEL,
        help="Taken from then on, or last changed where that is not known: 2024, 2024-05-01, "
        "today; 7d, 3m and 1y are so long ago.",
    ),
]
BeforeOption = Annotated[
    str | None,
    typer.Option(
        "--before",
        metavar="DATE",
        rich_help_panel=PANEL,
        help="The same, before it: --after 2023 --before 2024 is the year 2023.",
    ),
]
ExtOption = Annotated[
    str | None,
    typer.Option("--ext", metavar="E,...", rich_help_panel=PANEL, help="Extensions: jpg,png."),
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="RANGE",
        rich_help_panel=PANEL,
        help="Of the file: 10MB.., ..1GB, 1MB..5MB.",
    ),
]
DurationOption = Annotated[
    str | None,
    typer.Option(
        "--duration", metavar="RANGE", rich_help_panel=PANEL, help="As in 30s..5m, or 1h30m.."
    ),
]
WidthOption = Annotated[
    str | None,
    typer.Option("--width", metavar="RANGE", rich_help_panel=PANEL, help="In pixels: 1920, 3000.."),
]
HeightOption = Annotated[
    str | None,
    typer.Option("--height", metavar="RANGE", rich_help_panel=PANEL, help="In pixels."),
]
CameraOption = Annotated[
    list[str] | None,
    typer.Option(
        "--camera",
        metavar="TEXT",
        rich_help_panel=PANEL,
        help="A part of the name of the camera; may be repeated for another.",
    ),
]
ArtistOption = Annotated[
    list[str] | None,
    typer.Option(
        "--artist",
        metavar="TEXT",
        rich_help_panel=PANEL,
        help="A part of the name of the artist or author; may be repeated for another.",
    ),
]
# Not --language: in the environment and in config.toml that is what `index` listens for.
LangOption = Annotated[
    str | None,
    typer.Option("--lang", metavar="TAG,...", rich_help_panel=PANEL, help="Languages: de,en-GB."),
]
NearOption = Annotated[
    str | None,
    typer.Option(
        "--near",
        metavar="LAT,LON,KM",
        rich_help_panel=PANEL,
        help="Taken so near to a place: 47.37,8.54,10 or 47.37,8.54,500m.",
    ),
]
BoxOption = Annotated[
    str | None,
    typer.Option(
        "--box", metavar="S,W,N,E", rich_help_panel=PANEL, help="Taken between these degrees."
    ),
]
WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        rich_help_panel=PANEL,
        help="Any condition: 'kind = image and not folder ~ old'. See docs/filters.md.",
    ),
]
_MEASURES = {"size": "10MB", "duration": "5m", "width": "1920", "height": "1080"}
_COUNTS = ("width", "height")


def narrowed(
    where: str | None,
    *,
    after: str | None,
    before: str | None,
    ext: str | None,
    size: str | None,
    duration: str | None,
    width: str | None,
    height: str | None,
    camera: Sequence[str] | None,
    artist: Sequence[str] | None,
    lang: str | None,
    near: str | None,
    box: str | None,
) -> Expression | None:
    """What all options ask for together, None where none is given; raises QueryError."""
    ranges = {"size": size, "duration": duration, "width": width, "height": height}
    plain = (where, after, before, ext, lang, near, box, *ranges.values())
    if not (any(one is not None for one in plain) or camera or artist):
        return None
    # Here, so that a search without filters does not wait for their language.
    from mmsearch.search.expressions import all_of
    from mmsearch.search.where import parse

    return all_of(
        [
            _option("after", after, partial(_compared, "date", ">=")),
            _option("before", before, partial(_compared, "date", "<")),
            _option("ext", ext, partial(_among, "ext")),
            *(_option(name, said, partial(_range, name)) for name, said in ranges.items()),
            _option("camera", camera, partial(_any_containing, "camera")),
            _option("artist", artist, partial(_any_containing, "artist")),
            _option("lang", lang, partial(_among, "language")),
            _option("near", near, _near),
            _option("box", box, _box),
            _option("where", where, parse),
        ]
    )


def _option(name: str, said: T | None, read: Callable[[T], Expression]) -> Expression | None:
    if said is None or said == []:
        return None
    try:
        return read(said)
    except QueryError as exc:
        raise QueryError(f"--{name}: {exc}") from exc


def _compared(field: str, operator: str, said: str) -> Expression:
    from mmsearch.search import fields
    from mmsearch.search.expressions import Compare

    return Compare(field, operator, fields.value(fields.FIELDS[field], said))


def _among(field: str, said: str) -> Expression:
    from mmsearch.search import fields
    from mmsearch.search.expressions import Among

    known = fields.FIELDS[field]
    listed = [one for one in said.split(",") if one.strip()] or [said]
    return Among(field, tuple(fields.value(known, one) for one in listed))


def _any_containing(field: str, said: Sequence[str]) -> Expression:
    from mmsearch.search.expressions import Or

    parts = tuple(_compared(field, "~", one) for one in said)
    return parts[0] if len(parts) == 1 else Or(parts)


def _range(field: str, said: str) -> Expression:
    from mmsearch.search.expressions import all_of

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
    from mmsearch.search import literals
    from mmsearch.search.expressions import Near
    from mmsearch.search.where import LATITUDE, LONGITUDE

    latitude, longitude, distance = _parts(said, 3, "47.37,8.54,10km")
    return Near(LATITUDE(latitude), LONGITUDE(longitude), literals.kilometres(distance))


def _box(said: str) -> Expression:
    from mmsearch.search.expressions import Inside
    from mmsearch.search.where import LATITUDE, LONGITUDE

    south, west, north, east = _parts(said, 4, "45.8,5.9,47.8,10.5")
    return Inside(LATITUDE(south), LONGITUDE(west), LATITUDE(north), LONGITUDE(east))


def _parts(said: str, count: int, example: str) -> list[str]:
    parts = said.split(",")
    if len(parts) != count:
        raise QueryError(f"{said[:60]!r} is not {count} numbers with commas between: {example}")
    return parts
