"""`mmsearch evaluate`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch.cli.options import JsonOption, LibraryOption, MinScoreOption
from mmsearch.config import default_library
from mmsearch.errors import ConfigError

if TYPE_CHECKING:
    from mmsearch.evaluation import (
        EvaluationReport,
        JudgedHit,
        Judgements,
        KnownQuery,
        LibraryFile,
        LocatedQueries,
    )
    from mmsearch.query.ranking import Ranking

NAMED_FILES = 3


@dataclass(frozen=True, slots=True)
class EvaluationSide:
    """A library to measure, and its ranking where that is not the default."""

    name: str
    library: Path | str
    ranking: Ranking | None = None


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """The queries that every side is measured by, and how to measure.

    `query_file` is the path of the queries, `file_count` the number of files of their kinds.
    """

    query_file: str
    layout: str
    located: LocatedQueries
    held_files: Mapping[str, LibraryFile]
    cut_off: float
    file_count: int
    has_bar: bool


def evaluate(
    queries: Annotated[
        Path,
        typer.Argument(
            metavar="QUERIES",
            help='JSON lines: {"query": TEXT, "relevant": PATHS}, with paths relative to the file, '
            "and none where nothing answers. Or an annotation of another layout.",
        ),
    ],
    library: LibraryOption = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare",
            metavar="A B",
            help="Measure two: each a library's folder, or settings as in fusion=rrf,words=off.",
        ),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            "--layout", metavar="L", help="auto, jsonl, coco, flickr, clotho, audiocaps or esc50."
        ),
    ] = "auto",
    media: Annotated[
        Path | None,
        typer.Option("--media", metavar="DIR", help="The folder below which the media lie."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="S",
            help="A part, where there are parts: test unless said, val, 1 (a fold), all.",
        ),
    ] = None,
    min_score: MinScoreOption = None,
    json_object: JsonOption = False,
) -> None:
    """Measure how well the library answers queries whose answers are known."""
    from mmsearch import evaluation
    from mmsearch.cli import evaluation_report
    from mmsearch.media.files import make_absolute, make_storable
    from mmsearch.query.ranking import DEFAULT_CUTOFF
    from mmsearch.store.location import Location

    evaluation.import_ir_measures()
    default = library or default_library()
    sides = [_parse_side(text, default) for text in compare or ()] or [EvaluationSide("", default)]
    libraries = {side.library: Location.parse(side.library) for side in sides}
    files = evaluation.intersect_files([*map(evaluation.list_files, libraries.values())])
    layout, known_queries = evaluation.read_layout(
        queries, files, layout=layout, media=media, split=split
    )
    located = evaluation.locate_queries(known_queries, files)
    kinds = {kind for query in known_queries for kind in query.kinds}
    options = EvaluationOptions(
        query_file=make_storable(make_absolute(queries)),
        layout=layout,
        located=located,
        held_files=files,
        cut_off=DEFAULT_CUTOFF.first if min_score is None else min_score,
        file_count=max(1, sum(file.kind in kinds for file in files.values())),
        has_bar=not json_object,
    )
    _print_warnings(
        options, known_queries, where="the library" if len(sides) == 1 else "both libraries"
    )
    results = [_measure_side(side, options) for side in sides]
    if compare:
        differences = evaluation.compare_judgements(results[0][0], results[1][0])
        names = [side.name for side in sides]
        reports = [report for _, report in results]
        if json_object:
            answer: dict[str, Any] = {
                key: {"name": name, **dataclasses.asdict(report)}
                for key, name, report in zip("ab", names, reports, strict=True)
            }
            answer |= {
                "differences": [dataclasses.asdict(difference) for difference in differences],
                "verdict": evaluation.write_verdict(differences),
                **_describe_options(options),
            }
            typer.echo(json.dumps(answer, ensure_ascii=False))
        else:
            evaluation_report.print_comparison(names, reports, differences)
    elif json_object:
        answer = {**dataclasses.asdict(results[0][1]), **_describe_options(options)}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        evaluation_report.print_report(results[0][1], cut_off=options.cut_off)


def _parse_side(text: str, default: Path | str) -> EvaluationSide:
    """Reads one side of a comparison; raises ConfigError where it names nothing."""
    from mmsearch.store import manifest
    from mmsearch.store.location import Location

    if manifest.exists(Location.parse(text)):
        return EvaluationSide(text, text)
    if "=" in text:
        from mmsearch.query.ranking import Ranking

        return EvaluationSide(text, default, Ranking.parse(text))
    raise ConfigError(
        f"{text!r} is neither a library nor settings: name a folder, or settings as in fusion=rrf"
    )


def _measure_side(
    side: EvaluationSide, options: EvaluationOptions
) -> tuple[Judgements, EvaluationReport]:
    from mmsearch import evaluation
    from mmsearch.cli import evaluation_report
    from mmsearch.library.library import Library
    from mmsearch.models.provisioning import Runtime
    from mmsearch.query import algebra as wording
    from mmsearch.query.ranking import DEFAULT_RANKING

    # As a search from the command line does, so that latencies are what it takes.
    with (
        Library.open(side.library, create=False, runtime=Runtime(device="cpu")) as opened,
        evaluation_report.show_progress(
            len(options.located.queries), is_shown=options.has_bar
        ) as count,
    ):
        opened.warm_up()

        # A file that quotes every query would be the first answer to each.
        extra = int(options.query_file in options.held_files)

        def search(query: KnownQuery, limit: int) -> list[JudgedHit]:
            hits = opened.search(
                wording.text(query.query),
                limit=limit + extra,
                kinds=query.kinds,
                min_score=0.0,
                ranking=side.ranking or DEFAULT_RANKING,
            )
            answers = [evaluation.JudgedHit.from_hit(hit) for hit in hits]
            return [answer for answer in answers if options.query_file not in answer.paths][:limit]

        queries = options.located.queries
        judged = evaluation.run_queries(
            queries, search, cut_off=options.cut_off, files=options.held_files, on_answer=count
        )
        report = evaluation.build_report(judged)
        if options.layout == evaluation.ESC50:
            accuracy = evaluation.compute_class_accuracy(queries, search, limit=options.file_count)
            report = dataclasses.replace(report, class_accuracy=accuracy)
    return judged, report


def _print_warnings(
    options: EvaluationOptions, known_queries: Sequence[KnownQuery], *, where: str
) -> None:
    """Warns of missing files, files without annotation, and queries among the answers."""
    from mmsearch.cli import render

    located = options.located
    relevant = {path for query in known_queries for path in query.relevant}
    if located.missing:
        named = ", ".join(render.shorten_path(path) for path in located.missing[:NAMED_FILES])
        more = " and more" if len(located.missing) > NAMED_FILES else ""
        typer.echo(
            f"{len(located.missing):,} of {len(relevant):,} right files are not in {where} and "
            f"are not counted, nor are {located.left_out:,} queries that only they answer: "
            f"{named}{more}",
            err=True,
        )
    others = options.file_count - sum(path in options.held_files for path in relevant)
    if options.layout != "jsonl" and others > 0:
        typer.echo(
            f"{others:,} more files of the kind that is asked for are in {where}: published "
            "figures rank among the annotated ones alone.",
            err=True,
        )
    if options.query_file in options.held_files:
        name = render.shorten_path(options.query_file)
        typer.echo(f"{name} is in {where} itself, and is passed over as an answer.", err=True)


def _describe_options(options: EvaluationOptions) -> dict[str, Any]:
    located = options.located
    return {
        "layout": options.layout,
        "cut_off": options.cut_off,
        "missing": {
            "files": len(located.missing),
            "queries_left_out": located.left_out,
            "first": list(located.missing[:NAMED_FILES]),
        },
    }
