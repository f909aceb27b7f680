"""Reads queries as JSON lines, the layout of mmsearch itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mmsearch.evaluation import readers
from mmsearch.evaluation.file_lookup import FileFinder
from mmsearch.evaluation.known_answers import KnownQuery
from mmsearch.types import Modality, Span


def read_jsonl(path: Path, finder: FileFinder, split: str | None = None) -> list[KnownQuery]:
    """Reads a query a line: query, relevant, and optionally kinds, span, spans.

    `relevant` are paths relative to the folder of the finder; an empty list means that no file
    answers the query.
    `span` is [start_s, end_s] in the one recording or video among the relevant files, `spans` a
    span by path. Raises ConfigError, which names the line.
    """
    readers.refuse_split(path, split)
    queries = []
    for number, line in readers.read_lines(path):
        if line.strip():
            with readers.add_location(path, number):
                queries.append(_parse_query(readers.parse_value(line), finder))
    return queries


def _parse_query(row: object, finder: FileFinder) -> KnownQuery:
    if not isinstance(row, dict) or not {"query", "relevant"} <= row.keys():
        raise ValueError('a query is an object with "query" and "relevant"')
    relevant = [finder.resolve(name) for name in _parse_texts(row["relevant"], "relevant")]
    # Only the one timed file among the relevant ones has moments that the span can match.
    spans = dict.fromkeys(relevant, _parse_span(row["span"])) if "span" in row else {}
    by_path = row.get("spans", {})
    if not isinstance(by_path, dict):
        raise ValueError('"spans" has a span by path')  # noqa: TRY004 - what is wrong is in the file
    spans |= {finder.resolve(name): _parse_span(span) for name, span in by_path.items()}
    if not relevant and ("span" in row or spans):
        raise ValueError("there is a span, but nothing is relevant")
    stray = next((name for name in spans if name not in relevant), None)
    if stray is not None:
        raise ValueError(f"there is a span of {stray}, which is not relevant")
    return KnownQuery(
        query=readers.parse_query(row["query"]),
        relevant=frozenset(relevant),
        kinds=_parse_kinds(row.get("kinds", [])),
        spans=tuple(spans.items()),
    )


def _parse_texts(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f'"{name}" is a list of texts')
    return value


def _parse_kinds(value: object) -> tuple[str, ...]:
    kinds = _parse_texts(value, "kinds")
    unknown = next((kind for kind in kinds if kind not in set(Modality)), None)
    if unknown is not None:
        raise ValueError(f"there is no kind {unknown!r}: kinds are {', '.join(Modality)}")
    return tuple(kinds)


def _parse_span(value: Any) -> Span:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(
            isinstance(number, int | float) and not isinstance(number, bool) for number in value
        )
        or not all(math.isfinite(number) for number in value)
        or not 0 <= value[0] < value[1]
    ):
        raise ValueError("a span is [start, end] in seconds, the end after the start")
    return Span(float(value[0]), float(value[1]))
