"""`mmsearch search` and `mmsearch similar`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli.export import ExportOptions, deliver
from mmsearch.cli.filter_options import RequestOptions
from mmsearch.cli.heat_maps import HeatMapsOption, check_folder, write_heat_maps
from mmsearch.cli.option_groups import flatten_options
from mmsearch.cli.options import IndexKindOption, JsonOption, parse_index_config
from mmsearch.cli.remote import LibraryTarget
from mmsearch.errors import QueryError
from mmsearch.index.index_config import AUTO
from mmsearch.query import algebra as queries

if TYPE_CHECKING:
    from mmsearch.client import RemoteLibrary
    from mmsearch.library.library import Library
    from mmsearch.query.request import SearchRequest
    from mmsearch.types import Hit

EXIT_NO_MATCH = 4


@dataclass(frozen=True, slots=True)
class DisplayOptions:
    """The options that say how hits are shown."""

    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each space said of each hit.")
    ] = False
    heat_maps: HeatMapsOption = None
    json_object: JsonOption = False
    paths: Annotated[bool, typer.Option("--paths", help="Only paths, one a line.")] = False
    null: Annotated[
        bool,
        typer.Option("-0", "--null", help="With --paths: end each with NUL instead of newline."),
    ] = False

    def format(self) -> str:
        """Returns json, paths, nul, explained or table; raises typer.BadParameter."""
        if self.json_object and self.paths:
            raise typer.BadParameter("--json and --paths exclude each other")
        if self.null and not self.paths:
            raise typer.BadParameter("-0 goes with --paths")
        if self.json_object:
            return "json"
        if self.paths:
            return "nul" if self.null else "paths"
        return "explained" if self.explain else "table"


@flatten_options
def search(
    context: typer.Context,
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY...",
            help="Words, and examples as paths that begin with ./ or /; +TERM adds one, "
            '2:TERM weighs it, "quoted words" must stand together.',
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        list[Path] | None, typer.Option("--image", metavar="FILE", help="Like this picture.")
    ] = None,
    audio: Annotated[
        list[Path] | None, typer.Option("--audio", metavar="FILE", help="Like this recording.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--not",
            metavar="TERM",
            help="Nothing that matches this: words, or an example; repeatable.",
        ),
    ] = None,
    *,
    target: LibraryTarget,
    request: RequestOptions,
    index_kind: IndexKindOption = AUTO,
    display: DisplayOptions,
    export: ExportOptions,
) -> None:
    """Find by meaning: pictures, sounds, moments of videos, texts.

    With filters alone, all that passes them, the newest first.
    """
    terms = queries.parse(query or [], without=without or [])
    for picture in image or []:
        terms += queries.image(picture)
    for recording in audio or []:
        terms += queries.audio(recording)
    built = request.build(terms, explain=display.format() == "explained")
    _answer(
        context, lambda library: library.search(built), built, target, index_kind, display, export
    )


@flatten_options
def similar(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any file, indexed or not.")],
    *,
    target: LibraryTarget,
    request: RequestOptions,
    index_kind: IndexKindOption = AUTO,
    display: DisplayOptions,
    export: ExportOptions,
) -> None:
    """Find what is like a file."""
    built = request.build(queries.file(file), explain=display.format() == "explained")
    _answer(
        context, lambda library: library.similar(built), built, target, index_kind, display, export
    )


def _answer(
    context: typer.Context,
    ask: Callable[[Library | RemoteLibrary], list[Hit]],
    request: SearchRequest,
    target: LibraryTarget,
    index_kind: str,
    display: DisplayOptions,
    export: ExportOptions,
) -> None:
    """Asks a library for the hits of a request, and shows and delivers them."""
    is_remote = target.is_remote(context)
    index = parse_index_config(index_kind)
    form = display.format()
    targets = export.targets()
    if targets.takes_stdout and form in ("json", "paths", "nul"):
        raise typer.BadParameter("--export - excludes --json and --paths")
    from mmsearch.cli import render
    from mmsearch.media.files import make_storable
    from mmsearch.serialization.rounding import round_hit

    query = request.query
    check_folder(display.heat_maps)
    started = time.perf_counter()
    with ExitStack() as stack:
        local = None
        if is_remote:
            has_details = targets.needs_details or form == "explained"
            remote = stack.enter_context(target.open_remote(has_details=has_details))
            exact_hits, preset = ask(remote), remote.preset
        else:
            local = stack.enter_context(target.open_local(index))
            local.warm_up()
            try:
                exact_hits, preset = ask(local), local.manifest.preset
            except MemoryError as exc:
                raise QueryError(f"{query}: there is not enough memory to answer this") from exc
        took_ms = (time.perf_counter() - started) * 1000
        hits = [round_hit(hit) for hit in exact_hits]
        answer = (make_storable(str(query)), preset, took_ms, hits)
        if targets.takes_stdout:
            pass
        elif form == "json":
            typer.echo(render.format_json(*answer))
        elif form in ("paths", "nul"):
            render.print_paths(hits, end="\0" if form == "nul" else "\n")
        else:
            reasons = None
            if form == "explained":
                from mmsearch.cli import explanations

                reasons = partial(explanations.explain_hit, words=query.words)
            render.print_hits(hits, reasons=reasons, has_scores=query.seeks)
        is_delivered = deliver(targets, hits, answer[0], lambda: render.format_json(*answer))
        if local is not None:
            write_heat_maps(display.heat_maps, local, exact_hits, query)
    if not hits:
        if form in ("table", "explained"):
            other = "Try other words, or --min-score 0 to see the nearest there is."
            typer.echo(f"No match. {other if query.seeks else 'Try fewer filters.'}", err=True)
        raise typer.Exit(EXIT_NO_MATCH)
    if not is_delivered:
        raise typer.Exit(1)
