"""`mmsearch evaluate`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from mmsearch.cli.options import JsonOption, LibraryOption
from mmsearch.config import default_library


def evaluate(
    queries: Annotated[
        Path,
        typer.Argument(
            metavar="QUERIES.jsonl",
            help='A query a line: {"query": ..., "relevant": [path, ...]}; paths are relative to '
            "this file.",
        ),
    ],
    library: LibraryOption = None,
    json_object: JsonOption = False,
) -> None:
    """Measure how well the library answers queries whose answers are known."""
    from mmsearch import evaluate as evaluation
    from mmsearch.cli import render
    from mmsearch.library import Library

    asked = evaluation.read_queries(queries)
    with Library.open(library or default_library(), create=False) as opened:
        opened.warm_up()

        def search(query: evaluation.KnownQuery, limit: int) -> list[evaluation.Answer]:
            hits = opened.search(query.query, limit=limit, kinds=query.kinds, min_score=0.0)
            return [
                evaluation.Answer(
                    (hit.path, *hit.also_at),
                    hit.score,
                    tuple(moment.segment.span for moment in hit.moments if moment.segment.span),
                )
                for hit in hits
            ]

        report = evaluation.evaluate(asked, search)
    if json_object:
        typer.echo(json.dumps(dataclasses.asdict(report)))
    else:
        render.print_report(report)
