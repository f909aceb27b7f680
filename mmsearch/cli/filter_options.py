"""The options that `search` and `similar` build a search request of."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import typer

from mmsearch.cli.options import KindsOption, MinScoreOption, split_kinds
from mmsearch.query.algebra import Query
from mmsearch.query.filters.shorthand import Shorthand
from mmsearch.query.ranking import DEFAULT_RANKING, Ranking
from mmsearch.query.request import DEFAULT_LIMIT, MAX_LIMIT, MIN_LIMIT, SearchRequest, as_request

PANEL = "Filters"


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """All of a search request but its query."""

    limit: Annotated[
        int,
        typer.Option("--limit", "-n", min=MIN_LIMIT, max=MAX_LIMIT, help="At most this many hits."),
    ] = DEFAULT_LIMIT
    kinds: KindsOption = None
    under: Annotated[
        list[Path] | None,
        typer.Option("--in", metavar="PATH", help="Only files below this folder; may be repeated."),
    ] = None
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            metavar="DATE",
            rich_help_panel=PANEL,
            help="Taken from then on, or last changed where that is not known: 2024, 2024-05-01, "
            "today; 7d, 3m and 1y are so long ago.",
        ),
    ] = None
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            metavar="DATE",
            rich_help_panel=PANEL,
            help="The same, before it: --after 2023 --before 2024 is the year 2023.",
        ),
    ] = None
    ext: Annotated[
        str | None,
        typer.Option("--ext", metavar="E,...", rich_help_panel=PANEL, help="Extensions: jpg,png."),
    ] = None
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="RANGE",
            rich_help_panel=PANEL,
            help="Of the file: 10MB.., ..1GB, 1MB..5MB.",
        ),
    ] = None
    duration: Annotated[
        str | None,
        typer.Option(
            "--duration", metavar="RANGE", rich_help_panel=PANEL, help="As in 30s..5m, or 1h30m.."
        ),
    ] = None
    width: Annotated[
        str | None,
        typer.Option(
            "--width", metavar="RANGE", rich_help_panel=PANEL, help="In pixels: 1920, 3000.."
        ),
    ] = None
    height: Annotated[
        str | None,
        typer.Option("--height", metavar="RANGE", rich_help_panel=PANEL, help="In pixels."),
    ] = None
    camera: Annotated[
        list[str] | None,
        typer.Option(
            "--camera",
            metavar="TEXT",
            rich_help_panel=PANEL,
            help="A part of the name of the camera; may be repeated for another.",
        ),
    ] = None
    artist: Annotated[
        list[str] | None,
        typer.Option(
            "--artist",
            metavar="TEXT",
            rich_help_panel=PANEL,
            help="A part of the name of the artist or author; may be repeated for another.",
        ),
    ] = None
    # Not --language: in the environment and in config.toml that is what `index` listens for.
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang", metavar="TAG,...", rich_help_panel=PANEL, help="Languages: de,en-GB."
        ),
    ] = None
    near: Annotated[
        str | None,
        typer.Option(
            "--near",
            metavar="LAT,LON,KM",
            rich_help_panel=PANEL,
            help="Taken so near to a place: 47.37,8.54,10 or 47.37,8.54,500m.",
        ),
    ] = None
    box: Annotated[
        str | None,
        typer.Option(
            "--box", metavar="S,W,N,E", rich_help_panel=PANEL, help="Taken between these degrees."
        ),
    ] = None
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="EXPR",
            rich_help_panel=PANEL,
            help="Any condition: 'kind = image and not folder ~ old'. See docs/filters.md.",
        ),
    ] = None
    min_score: MinScoreOption = None
    group: Annotated[
        bool, typer.Option("--group/--no-group", help="One hit a file, or one for every moment.")
    ] = DEFAULT_RANKING.group
    dedupe: Annotated[
        bool,
        typer.Option(
            "--dedupe/--no-dedupe", help="Near-duplicates under the best of them, or each."
        ),
    ] = DEFAULT_RANKING.dedupe
    ranking: Annotated[
        str,
        typer.Option(
            "--ranking",
            metavar="SETTINGS",
            help="To compare ways of ranking: fusion=rrf, words=off, vectors=off; joined by "
            "commas.",
        ),
    ] = ""

    def build(self, query: Query, *, explain: bool) -> SearchRequest:
        """Returns the request for a query; raises QueryError for a filter or a ranking."""
        names = [field.name for field in fields(Shorthand)]
        shorthand = Shorthand(**{name: getattr(self, name) for name in names})
        ranking = Ranking.parse(self.ranking)
        return as_request(
            query,
            kinds=split_kinds(self.kinds),
            under=self.under or (),
            where=shorthand.condition(),
            limit=self.limit,
            min_score=self.min_score,
            ranking=replace(
                ranking, group=ranking.group and self.group, dedupe=ranking.dedupe and self.dedupe
            ),
            explain=explain,
        )
