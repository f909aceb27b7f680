"""`mmsearch search` and `mmsearch similar`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli.export import (
    DEFAULT_FPS,
    CopyToOption,
    ExportAsOption,
    ExportOption,
    FpsOption,
    LinkToOption,
    Outlet,
    SymlinkToOption,
    deliver,
    outlet,
)
from mmsearch.cli.filter_options import (
    AfterOption,
    ArtistOption,
    BeforeOption,
    BoxOption,
    CameraOption,
    DurationOption,
    ExtOption,
    HeightOption,
    LangOption,
    NearOption,
    SizeOption,
    WhereOption,
    WidthOption,
)
from mmsearch.cli.heat_maps import HeatMapsOption, check_folder, write_heat_maps
from mmsearch.cli.options import (
    DedupeOption,
    ExplainOption,
    GroupOption,
    IndexKindOption,
    JsonOption,
    KindsOption,
    LibraryOption,
    LimitOption,
    MinScoreOption,
    NulOption,
    PathsOption,
    RankingOption,
    UnderOption,
    WithoutOption,
    split_kinds,
    wish,
)
from mmsearch.cli.remote import ServerAddress, ServerOption, TokenFileOption, choose_server
from mmsearch.config import default_library
from mmsearch.errors import QueryError
from mmsearch.index.index_config import AUTO, Wish
from mmsearch.query.filters.shorthand import narrowed

if TYPE_CHECKING:
    from mmsearch.client import RemoteLibrary
    from mmsearch.library.library import Library
    from mmsearch.query.algebra import Query
    from mmsearch.query.ranking import Ranking
    from mmsearch.types import Hit

EXIT_NO_MATCH = 4


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
    without: WithoutOption = None,
    library: LibraryOption = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    limit: LimitOption = 10,
    kinds: KindsOption = None,
    under: UnderOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    ext: ExtOption = None,
    size: SizeOption = None,
    duration: DurationOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    camera: CameraOption = None,
    artist: ArtistOption = None,
    lang: LangOption = None,
    near: NearOption = None,
    box: BoxOption = None,
    where: WhereOption = None,
    min_score: MinScoreOption = None,
    group: GroupOption = True,
    dedupe: DedupeOption = True,
    ranking: RankingOption = "",
    index_kind: IndexKindOption = AUTO,
    explain: ExplainOption = False,
    heat_maps: HeatMapsOption = None,
    json_object: JsonOption = False,
    paths: PathsOption = False,
    null: NulOption = False,
    export: ExportOption = None,
    export_as: ExportAsOption = None,
    fps: FpsOption = DEFAULT_FPS,
    copy_to: CopyToOption = None,
    link_to: LinkToOption = None,
    symlink_to: SymlinkToOption = None,
) -> None:
    """Find by meaning: pictures, sounds, moments of videos, texts.

    With filters alone, all that passes them, the newest first.
    """
    from mmsearch.query import algebra as queries

    asked = queries.parse(query or [], without=without or [])
    for picture in image or []:
        asked += queries.image(picture)
    for recording in audio or []:
        asked += queries.audio(recording)
    passing = narrowed(
        where,
        after=after,
        before=before,
        ext=ext,
        size=size,
        duration=duration,
        width=width,
        height=height,
        camera=camera,
        artist=artist,
        lang=lang,
        near=near,
        box=box,
    )
    _answer(
        asked,
        lambda opened, ranking: opened.search(
            asked,
            limit=limit,
            kinds=split_kinds(kinds),
            under=under or (),
            where=passing,
            min_score=min_score,
            ranking=ranking,
        ),
        library=library,
        server=choose_server(context, server, token_file),
        index=wish(index_kind),
        ranking=settings(ranking, group=group, dedupe=dedupe),
        form=_form(explain=explain, json_object=json_object, paths=paths, null=null),
        heat_maps=heat_maps,
        to=outlet(export, export_as, fps, copy_to=copy_to, link_to=link_to, symlink_to=symlink_to),
    )


def similar(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any file, indexed or not.")],
    library: LibraryOption = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    limit: LimitOption = 10,
    kinds: KindsOption = None,
    under: UnderOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    ext: ExtOption = None,
    size: SizeOption = None,
    duration: DurationOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    camera: CameraOption = None,
    artist: ArtistOption = None,
    lang: LangOption = None,
    near: NearOption = None,
    box: BoxOption = None,
    where: WhereOption = None,
    min_score: MinScoreOption = None,
    group: GroupOption = True,
    dedupe: DedupeOption = True,
    ranking: RankingOption = "",
    index_kind: IndexKindOption = AUTO,
    explain: ExplainOption = False,
    heat_maps: HeatMapsOption = None,
    json_object: JsonOption = False,
    paths: PathsOption = False,
    null: NulOption = False,
    export: ExportOption = None,
    export_as: ExportAsOption = None,
    fps: FpsOption = DEFAULT_FPS,
    copy_to: CopyToOption = None,
    link_to: LinkToOption = None,
    symlink_to: SymlinkToOption = None,
) -> None:
    """Find what is like a file."""
    from mmsearch.query import algebra as queries

    passing = narrowed(
        where,
        after=after,
        before=before,
        ext=ext,
        size=size,
        duration=duration,
        width=width,
        height=height,
        camera=camera,
        artist=artist,
        lang=lang,
        near=near,
        box=box,
    )
    _answer(
        queries.file(file),
        lambda opened, ranking: opened.similar(
            file,
            limit=limit,
            kinds=split_kinds(kinds),
            under=under or (),
            where=passing,
            min_score=min_score,
            ranking=ranking,
        ),
        library=library,
        server=choose_server(context, server, token_file),
        index=wish(index_kind),
        ranking=settings(ranking, group=group, dedupe=dedupe),
        form=_form(explain=explain, json_object=json_object, paths=paths, null=null),
        heat_maps=heat_maps,
        to=outlet(export, export_as, fps, copy_to=copy_to, link_to=link_to, symlink_to=symlink_to),
    )


def settings(written: str, *, group: bool, dedupe: bool) -> str:
    """All that was asked for about the ranking, as `Ranking.parse` takes it; what is last holds."""
    parts = [written, "" if group else "group=off", "" if dedupe else "dedupe=off"]
    return ",".join(part for part in parts if part)


def _form(*, explain: bool, json_object: bool, paths: bool, null: bool) -> str:
    if json_object and paths:
        raise typer.BadParameter("--json and --paths exclude each other")
    if null and not paths:
        raise typer.BadParameter("-0 goes with --paths")
    if json_object:
        return "json"
    if paths:
        return "nul" if null else "paths"
    return "explained" if explain else "table"


def _reasons(query: Query) -> Callable[[Hit], Iterable[str]]:
    from mmsearch.cli.explanations import reasons, sought_words

    words = sought_words(query)
    return lambda hit: reasons(hit, words)


def _answer(
    query: Query,
    run: Callable[[Library | RemoteLibrary, Ranking], list[Hit]],
    *,
    library: Path | None,
    server: ServerAddress | None,
    index: Wish,
    ranking: str,
    form: str,
    heat_maps: Path | None,
    to: Outlet,
) -> None:
    if to.takes_stdout and form in ("json", "paths", "nul"):
        raise typer.BadParameter("--export - excludes --json and --paths")
    from mmsearch import serialization
    from mmsearch.cli import render
    from mmsearch.media.files import storable
    from mmsearch.query.ranking import Ranking

    check_folder(heat_maps)
    asked = str(query)
    asked_ranking = Ranking.parse(ranking)
    started = time.perf_counter()
    with ExitStack() as stack:
        local = None
        if server is None:
            local = stack.enter_context(_local(library, index))
            found = _ranked(local, run, asked_ranking, asked)
            preset = local.manifest.preset
        else:
            is_explained = form == "explained"
            remote = stack.enter_context(
                server.opened(explains=is_explained, has_details=is_explained or to.needs_details)
            )
            found, preset = run(remote, asked_ranking), remote.preset
        took_ms = (time.perf_counter() - started) * 1000
        hits = [serialization.rounded(hit) for hit in found]
        told = (storable(asked), preset, took_ms, hits)
        if to.takes_stdout:
            pass
        elif form == "json":
            render.print_json(*told)
        elif form in ("paths", "nul"):
            render.print_paths(hits, end="\0" if form == "nul" else "\n")
        else:
            reasons = _reasons(query) if form == "explained" else None
            render.print_hits(hits, reasons=reasons, has_scores=query.seeks)
        is_delivered = deliver(to, hits, storable(asked), lambda: serialization.json_text(*told))
        if local is not None:
            write_heat_maps(heat_maps, local, found, query)
    if not hits:
        if form in ("table", "explained"):
            other = "Try other words, or --min-score 0 to see the nearest there is."
            typer.echo(f"No match. {other if query.seeks else 'Try fewer filters.'}", err=True)
        raise typer.Exit(EXIT_NO_MATCH)
    if not is_delivered:
        raise typer.Exit(1)


def _local(library: Path | None, index: Wish) -> Library:
    from mmsearch.library.library import Library
    from mmsearch.models.provisioning import Runtime

    # Words are encoded on the CPU, where that takes milliseconds and no torch.
    runtime = Runtime(device="cpu")
    return Library.open(library or default_library(), create=False, runtime=runtime, index=index)


def _ranked(
    library: Library,
    run: Callable[[Library | RemoteLibrary, Ranking], list[Hit]],
    ranking: Ranking,
    asked: str,
) -> list[Hit]:
    library.warm_up()
    try:
        return run(library, ranking)
    except MemoryError as exc:
        raise QueryError(f"{asked}: there is not enough memory to answer this") from exc
