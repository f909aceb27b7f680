"""`mmsearch search` and `mmsearch similar`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli.options import (
    ExplainOption,
    IndexKindOption,
    JsonOption,
    KindsOption,
    LibraryOption,
    LimitOption,
    MinScoreOption,
    NulOption,
    PathsOption,
    UnderOption,
    split_kinds,
    wish,
)
from mmsearch.config import default_library
from mmsearch.errors import QueryError
from mmsearch.index.wish import AUTO, Wish

if TYPE_CHECKING:
    from mmsearch.library import Library
    from mmsearch.types import Hit

EXIT_NO_MATCH = 4


def search(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY...",
            help="Words, and examples as paths that begin with ./ or /.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        list[Path] | None, typer.Option("--image", metavar="FILE", help="Like this picture.")
    ] = None,
    audio: Annotated[
        list[Path] | None, typer.Option("--audio", metavar="FILE", help="Like this recording.")
    ] = None,
    library: LibraryOption = None,
    limit: LimitOption = 10,
    kinds: KindsOption = None,
    under: UnderOption = None,
    min_score: MinScoreOption = None,
    index_kind: IndexKindOption = AUTO,
    explain: ExplainOption = False,
    json_object: JsonOption = False,
    paths: PathsOption = False,
    null: NulOption = False,
) -> None:
    """Find by meaning: pictures, sounds, moments of videos, texts."""
    from mmsearch import query as queries

    asked = queries.parse(query or [])
    for picture in image or []:
        asked += queries.image(picture)
    for recording in audio or []:
        asked += queries.audio(recording)
    _answer(
        str(asked),
        lambda opened, cut_off: opened.search(
            asked.checked(),
            limit=limit,
            kinds=split_kinds(kinds),
            under=under or (),
            min_score=cut_off,
        ),
        library=library,
        min_score=min_score,
        index=wish(index_kind),
        form=_form(explain=explain, json_object=json_object, paths=paths, null=null),
    )


def similar(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any file, indexed or not.")],
    library: LibraryOption = None,
    limit: LimitOption = 10,
    kinds: KindsOption = None,
    under: UnderOption = None,
    min_score: MinScoreOption = None,
    index_kind: IndexKindOption = AUTO,
    explain: ExplainOption = False,
    json_object: JsonOption = False,
    paths: PathsOption = False,
    null: NulOption = False,
) -> None:
    """Find what is like a file."""
    _answer(
        str(file),
        lambda opened, cut_off: opened.similar(
            file,
            limit=limit,
            kinds=split_kinds(kinds),
            under=under or (),
            min_score=cut_off,
        ),
        library=library,
        min_score=min_score,
        index=wish(index_kind),
        form=_form(explain=explain, json_object=json_object, paths=paths, null=null),
    )


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


def _answer(
    asked: str,
    run: Callable[[Library, float], list[Hit]],
    *,
    library: Path | None,
    min_score: float | None,
    index: Wish,
    form: str,
) -> None:
    from mmsearch.cli import render
    from mmsearch.library import MIN_SCORE, Library
    from mmsearch.media.files import storable
    from mmsearch.supply import Runtime

    started = time.perf_counter()
    # Words are encoded on the CPU, where that takes milliseconds and no torch.
    runtime = Runtime(device="cpu")
    with Library.open(
        library or default_library(), create=False, runtime=runtime, index=index
    ) as opened:
        opened.warm_up()
        try:
            hits = run(opened, MIN_SCORE if min_score is None else min_score)
        except MemoryError as exc:
            raise QueryError(f"{asked}: there is not enough memory to answer this") from exc
        took_ms = (time.perf_counter() - started) * 1000
        if form == "json":
            render.print_json(storable(asked), opened.manifest.preset, took_ms, hits)
        elif form in ("paths", "nul"):
            render.print_paths(hits, end="\0" if form == "nul" else "\n")
        else:
            render.print_hits(hits, is_explained=form == "explained")
    if not hits:
        if form in ("table", "explained"):
            typer.echo(
                "No match. Try other words, or --min-score 0 to see the nearest there is.", err=True
            )
        raise typer.Exit(EXIT_NO_MATCH)
