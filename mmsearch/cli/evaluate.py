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
    from mmsearch.evaluation import Answer, HeldFile, Judged, KnownQuery, Located, Report
    from mmsearch.query.ranking import Ranking

NAMED_FILES = 3


@dataclass(frozen=True, slots=True)
class Side:
    """What is measured: a library, and how it ranks where that is not as always."""

    name: str
    library: Path | str
    ranking: Ranking | None = None


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """What every side is asked.

    `itself` is the path of the queries; `files` how many there are of the kinds asked for.
    """

    itself: str
    layout: str
    located: Located
    held: Mapping[str, HeldFile]
    cut_off: float
    files: int
    is_bar_shown: bool


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
            "--layout",
            metavar="L",
            help="auto, jsonl, coco, flickr, clotho, audiocaps or esc50.",
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
    from mmsearch.media.files import absolute, storable
    from mmsearch.query.ranking import DEFAULT_CUTOFF
    from mmsearch.store.location import Location

    evaluation.require_measures()
    default = library or default_library()
    sides = [_side(text, default) for text in compare or ()] or [Side("", default)]
    there = {side.library: evaluation.files_of(Location.parse(side.library)) for side in sides}
    held = evaluation.held_by_all(list(there.values()))
    layout, known = evaluation.read(queries, held, layout=layout, media=media, split=split)
    located = evaluation.located(known, held)
    asked = EvaluationOptions(
        itself=storable(absolute(queries)),
        layout=layout,
        located=located,
        held=held,
        cut_off=DEFAULT_CUTOFF.first if min_score is None else min_score,
        files=_of_kinds(known, held),
        is_bar_shown=not json_object,
    )
    _warn(asked, known, where="the library" if len(sides) == 1 else "both libraries")
    measured = [_measured(side, asked) for side in sides]
    if compare:
        compared = evaluation.differences(measured[0][0], measured[1][0])
        names = [side.name for side in sides]
        reports = [report for _, report in measured]
        if json_object:
            told: dict[str, Any] = {
                key: {"name": name, **dataclasses.asdict(report)}
                for key, name, report in zip("ab", names, reports, strict=True)
            }
            told |= {
                "differences": [dataclasses.asdict(one) for one in compared],
                "verdict": evaluation.verdict(compared),
                **_told(asked),
            }
            typer.echo(json.dumps(told, ensure_ascii=False))
        else:
            evaluation_report.print_comparison(names, reports, compared)
    elif json_object:
        told = {**dataclasses.asdict(measured[0][1]), **_told(asked)}
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        evaluation_report.print_report(measured[0][1], cut_off=asked.cut_off)


def _side(text: str, default: Path | str) -> Side:
    """What one side of a comparison names; raises ConfigError where it names nothing."""
    from mmsearch.store import manifest
    from mmsearch.store.location import Location

    if manifest.exists(Location.parse(text)):
        return Side(text, text)
    if "=" in text:
        from mmsearch.query.ranking import Ranking

        return Side(text, default, Ranking.parse(text))
    raise ConfigError(
        f"{text!r} is neither a library nor settings: name a folder, or settings as in fusion=rrf"
    )


def _measured(side: Side, asked: EvaluationOptions) -> tuple[Judged, Report]:
    from mmsearch import evaluation
    from mmsearch.cli import evaluation_report
    from mmsearch.library.library import Library
    from mmsearch.models.provisioning import Runtime
    from mmsearch.query import algebra as wording
    from mmsearch.query.ranking import DEFAULT_RANKING

    # As a search from the command line does, so that latencies are what it takes.
    with (
        Library.open(side.library, create=False, runtime=Runtime(device="cpu")) as opened,
        evaluation_report.counting(
            len(asked.located.queries), is_shown=asked.is_bar_shown
        ) as count,
    ):
        opened.warm_up()

        # A file that quotes every query would be the first answer to each.
        more = int(asked.itself in asked.held)

        def search(query: KnownQuery, limit: int) -> list[Answer]:
            hits = opened.search(
                wording.text(query.query),
                limit=limit + more,
                kinds=query.kinds,
                min_score=0.0,
                ranking=side.ranking or DEFAULT_RANKING,
            )
            answers = [evaluation.Answer.of(hit) for hit in hits]
            return [answer for answer in answers if asked.itself not in answer.paths][:limit]

        queries = asked.located.queries
        judged = evaluation.judge(
            queries, search, cut_off=asked.cut_off, held=asked.held, on_answer=count
        )
        report = evaluation.report(judged)
        if asked.layout == evaluation.ESC50:
            accuracy = evaluation.class_accuracy(queries, search, limit=asked.files)
            report = dataclasses.replace(report, class_accuracy=accuracy)
    return judged, report


def _of_kinds(known: Sequence[KnownQuery], held: Mapping[str, HeldFile]) -> int:
    kinds = {kind for query in known for kind in query.kinds}
    return max(1, sum(file.kind in kinds for file in held.values()))


def _warn(asked: EvaluationOptions, known: Sequence[KnownQuery], *, where: str) -> None:
    """Say what makes the figures other than they look."""
    from mmsearch.cli import render

    located = asked.located
    right = {path for query in known for path in query.relevant}
    if located.missing:
        named = ", ".join(render.shown_path(path) for path in located.missing[:NAMED_FILES])
        more = " and more" if len(located.missing) > NAMED_FILES else ""
        typer.echo(
            f"{len(located.missing):,} of {len(right):,} right files are not in {where} and "
            f"are not counted, nor are {located.left_out:,} queries that only they answer: "
            f"{named}{more}",
            err=True,
        )
    others = asked.files - sum(path in asked.held for path in right)
    if asked.layout != "jsonl" and others > 0:
        typer.echo(
            f"{others:,} more files of the kind that is asked for are in {where}: published "
            "figures rank among the annotated ones alone.",
            err=True,
        )
    if asked.itself in asked.held:
        name = render.shown_path(asked.itself)
        typer.echo(f"{name} is in {where} itself, and is passed over as an answer.", err=True)


def _told(asked: EvaluationOptions) -> dict[str, Any]:
    located = asked.located
    return {
        "layout": asked.layout,
        "cut_off": asked.cut_off,
        "missing": {
            "files": len(located.missing),
            "queries_left_out": located.left_out,
            "first": list(located.missing[:NAMED_FILES]),
        },
    }
