"""The options that narrow a search down."""

from __future__ import annotations

from typing import Annotated

import typer

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
