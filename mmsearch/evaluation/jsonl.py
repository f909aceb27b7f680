"""Queries as JSON lines: the layout of mmsearch itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mmsearch.evaluation import readers
from mmsearch.evaluation.file_lookup import Finder
from mmsearch.evaluation.known_answers import KnownQuery
from mmsearch.types import Modality, Span


def read(path: Path, finder: Finder, split: str | None = None) -> list[KnownQuery]:
    """Read a query a line: query, relevant, and optionally kinds, span, spans.

    `relevant` are paths relative to the folder of the finder; none says that nothing answers it.
    `span` is [start_s, end_s] in the one recording or video among the relevant files, `spans` a
    span by path. Raises ConfigError, which names the line.
    """
    readers.refuse_split(path, split)
    known = []
    for number, line in readers.lines(path):
        if line.strip():
            with readers.placed(path, number):
                known.append(_known(readers.value(line), finder))
    return known


def _known(row: object, finder: Finder) -> KnownQuery:
    if not isinstance(row, dict) or not {"query", "relevant"} <= row.keys():
        raise ValueError('a query is an object with "query" and "relevant"')
    relevant = [finder.at(name) for name in _texts(row["relevant"], "relevant")]
    # Of the relevant files one is timed; the others have no moments that a span could match.
    spans = dict.fromkeys(relevant, _span(row["span"])) if "span" in row else {}
    by_path = row.get("spans", {})
    if not isinstance(by_path, dict):
        raise ValueError('"spans" has a span by path')  # noqa: TRY004 - what is wrong is in the file
    spans |= {finder.at(name): _span(span) for name, span in by_path.items()}
    if not relevant and ("span" in row or spans):
        raise ValueError("there is a span, but nothing is relevant")
    stray = next((name for name in spans if name not in relevant), None)
    if stray is not None:
        raise ValueError(f"there is a span of {stray}, which is not relevant")
    return KnownQuery(
        query=readers.query(row["query"]),
        relevant=frozenset(relevant),
        kinds=_kinds(row.get("kinds", [])),
        spans=tuple(spans.items()),
    )


def _texts(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f'"{name}" is a list of texts')
    return value


def _kinds(value: object) -> tuple[str, ...]:
    kinds = _texts(value, "kinds")
    unknown = next((kind for kind in kinds if kind not in set(Modality)), None)
    if unknown is not None:
        raise ValueError(f"there is no kind {unknown!r}: kinds are {', '.join(Modality)}")
    return tuple(kinds)


def _span(value: Any) -> Span:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
        or not all(math.isfinite(one) for one in value)
        or not 0 <= value[0] < value[1]
    ):
        raise ValueError("a span is [start, end] in seconds, the end after the start")
    return Span(float(value[0]), float(value[1]))
