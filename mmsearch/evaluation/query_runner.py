"""Asks every query once and keeps what each one got."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmsearch.evaluation import spans
from mmsearch.evaluation.file_lookup import HeldFile
from mmsearch.evaluation.known_answers import Answer, KnownQuery
from mmsearch.evaluation.measures import DEPTH, RANKED, Found, ValueArray, found_in, ranked
from mmsearch.types import Modality

SPAN_HITS, SPAN_IOU = "span hits", "span IoU"
REFUSED_RIGHTLY, REFUSED_WRONGLY = "no match, rightly", "no match, wrongly"
MEASURES = (*RANKED, SPAN_HITS, SPAN_IOU, REFUSED_RIGHTLY, REFUSED_WRONGLY)

Search = Callable[[KnownQuery, int], Sequence[Answer]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What every query got: all arrays are (queries,).

    `values` has the measures in MEASURES, float64, NaN where a measure does not apply to a query.
    `best_scores` are those of the first answers, 0 where there was none; `latencies_ms` is one
    shorter where there are several queries: the first one warms up. `kinds` has the measures in
    RANKED for the right files of one kind alone, over the queries that have such.
    """

    values: Mapping[str, ValueArray]
    best_scores: ValueArray
    is_refused: NDArray[np.bool_]
    is_answerable: NDArray[np.bool_]
    latencies_ms: ValueArray
    kinds: Mapping[Modality, Mapping[str, ValueArray]] = field(default_factory=dict)


def judge(
    queries: Sequence[KnownQuery],
    search: Search,
    *,
    cut_off: float = 0.0,
    held: Mapping[str, HeldFile] | None = None,
    on_answer: Callable[[], object] = lambda: None,
) -> Judged:
    """Ask every query; `search(query, limit)` gives the ranking without a cut-off, best first.

    The ranking is judged as it comes. A query is refused, so that a user sees nothing, where no
    answer scores at least `cut_off`. `held` says which kind the right files are of;
    `on_answer` is called after each query.

    Raises MissingExtra.
    """
    rankings: list[Sequence[Answer]] = []
    latencies: list[float] = []
    for query in queries:
        started = time.perf_counter()
        rankings.append(search(query, DEPTH))
        latencies.append((time.perf_counter() - started) * 1000)
        on_answer()
    answerable = np.array([bool(query.relevant) for query in queries], dtype=np.bool_)
    best = np.array([max((one.score for one in ranking), default=0.0) for ranking in rankings])
    refused = np.array(
        [not any(one.score >= cut_off for one in ranking) for ranking in rankings], dtype=np.bool_
    )
    founds = [
        found_in(ranking, query.relevant)
        for query, ranking in zip(queries, rankings, strict=True)
        if query.relevant
    ]
    values = {name: _spread(row, answerable) for name, row in ranked(founds).items()}
    values |= _span_values(queries, rankings)
    values[REFUSED_RIGHTLY] = np.where(answerable, np.nan, refused)
    values[REFUSED_WRONGLY] = np.where(answerable, refused, np.nan)
    return Judged(
        values=values,
        best_scores=best,
        is_refused=refused,
        is_answerable=answerable,
        latencies_ms=np.array(latencies[1:] or latencies),
        kinds=_by_kind(queries, rankings, held or {}),
    )


def _spread(values: ValueArray, where: NDArray[np.bool_]) -> ValueArray:
    """The values at their places, NaN at the others."""
    spread = np.full(len(where), np.nan)
    spread[where] = values
    return spread


def _span_values(
    queries: Sequence[KnownQuery], rankings: Sequence[Sequence[Answer]]
) -> dict[str, ValueArray]:
    has_span = np.array([bool(query.spans) for query in queries], dtype=np.bool_)
    pairs = [
        spans.best_moments(query, ranking)
        for query, ranking in zip(queries, rankings, strict=True)
        if query.spans
    ]
    hits = np.array([float(spans.is_span_hit(one)) for one in pairs])
    overlaps = np.array([spans.best_overlap(one) for one in pairs])
    return {SPAN_HITS: _spread(hits, has_span), SPAN_IOU: _spread(overlaps, has_span)}


def _by_kind(
    queries: Sequence[KnownQuery],
    rankings: Sequence[Sequence[Answer]],
    held: Mapping[str, HeldFile],
) -> dict[Modality, dict[str, ValueArray]]:
    judged: dict[Modality, dict[str, ValueArray]] = {}
    for kind in Modality:
        founds: list[Found] = []
        for query, ranking in zip(queries, rankings, strict=True):
            meant = {path for path in query.relevant if path in held and held[path].kind is kind}
            if meant:
                founds.append(found_in(ranking, meant, query.relevant - meant))
        if founds:
            judged[kind] = ranked(founds)
    return judged
