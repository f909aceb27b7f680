"""Runs every query once and keeps its judgement."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmsearch.evaluation import spans
from mmsearch.evaluation.file_lookup import LibraryFile
from mmsearch.evaluation.known_answers import JudgedHit, KnownQuery
from mmsearch.evaluation.measures import (
    DEPTH,
    RANKED,
    RankingJudgement,
    ValueArray,
    compute_measures,
    judge_ranking,
)
from mmsearch.types import Modality

SPAN_HITS, SPAN_IOU = "span hits", "span IoU"
REFUSED_RIGHTLY, REFUSED_WRONGLY = "no match, rightly", "no match, wrongly"
MEASURES = (*RANKED, SPAN_HITS, SPAN_IOU, REFUSED_RIGHTLY, REFUSED_WRONGLY)

Search = Callable[[KnownQuery, int], Sequence[JudgedHit]]


@dataclass(frozen=True, slots=True)
class Judgements:
    """The judgements of all queries: all arrays are (queries,).

    `values` has the measures in MEASURES, float64, NaN where a measure does not apply to a query.
    `best_scores` is 0 for a query without answers; `latencies_ms` leaves out the first of several
    queries, which warms up. `kinds` has the measures in RANKED for the relevant files of one kind
    alone, over the queries that have such.
    """

    values: Mapping[str, ValueArray]
    best_scores: ValueArray
    is_refused: NDArray[np.bool_]
    is_answerable: NDArray[np.bool_]
    latencies_ms: ValueArray
    kinds: Mapping[Modality, Mapping[str, ValueArray]] = field(default_factory=dict)


def run_queries(
    queries: Sequence[KnownQuery],
    search: Search,
    *,
    cut_off: float = 0.0,
    files: Mapping[str, LibraryFile] | None = None,
    on_answer: Callable[[], object] = lambda: None,
) -> Judgements:
    """Runs every query; `search(query, limit)` returns the ranking without a cut-off, best first.

    The ranking is judged in its order. A query is refused (a user sees no hit) where no answer
    scores at least `cut_off`. `files` gives the kinds of the relevant files; `on_answer` is called
    after each query.

    Raises MissingExtra.
    """
    rankings: list[Sequence[JudgedHit]] = []
    latencies: list[float] = []
    for query in queries:
        started = time.perf_counter()
        rankings.append(search(query, DEPTH))
        latencies.append((time.perf_counter() - started) * 1000)
        on_answer()
    answerable = np.array([bool(query.relevant) for query in queries], dtype=np.bool_)
    best = np.array(
        [max((answer.score for answer in ranking), default=0.0) for ranking in rankings]
    )
    refused = np.array(
        [not any(answer.score >= cut_off for answer in ranking) for ranking in rankings],
        dtype=np.bool_,
    )
    judgements = [
        judge_ranking(ranking, query.relevant)
        for query, ranking in zip(queries, rankings, strict=True)
        if query.relevant
    ]
    values = {
        name: _spread_values(row, answerable) for name, row in compute_measures(judgements).items()
    }
    values |= _measure_spans(queries, rankings)
    values[REFUSED_RIGHTLY] = np.where(answerable, np.nan, refused)
    values[REFUSED_WRONGLY] = np.where(answerable, refused, np.nan)
    return Judgements(
        values=values,
        best_scores=best,
        is_refused=refused,
        is_answerable=answerable,
        latencies_ms=np.array(latencies[1:] or latencies),
        kinds=_count_by_kind(queries, rankings, files or {}),
    )


def _spread_values(values: ValueArray, where: NDArray[np.bool_]) -> ValueArray:
    """Returns the values at their places, NaN at the others."""
    spread = np.full(len(where), np.nan)
    spread[where] = values
    return spread


def _measure_spans(
    queries: Sequence[KnownQuery], rankings: Sequence[Sequence[JudgedHit]]
) -> dict[str, ValueArray]:
    has_span = np.array([bool(query.spans) for query in queries], dtype=np.bool_)
    pairs = [
        spans.select_best_moments(query, ranking)
        for query, ranking in zip(queries, rankings, strict=True)
        if query.spans
    ]
    hits = np.array([float(spans.is_span_hit(pair)) for pair in pairs])
    overlaps = np.array([spans.compute_best_overlap(pair) for pair in pairs])
    return {SPAN_HITS: _spread_values(hits, has_span), SPAN_IOU: _spread_values(overlaps, has_span)}


def _count_by_kind(
    queries: Sequence[KnownQuery],
    rankings: Sequence[Sequence[JudgedHit]],
    files: Mapping[str, LibraryFile],
) -> dict[Modality, dict[str, ValueArray]]:
    values: dict[Modality, dict[str, ValueArray]] = {}
    for kind in Modality:
        judgements: list[RankingJudgement] = []
        for query, ranking in zip(queries, rankings, strict=True):
            of_kind = {
                path for path in query.relevant if path in files and files[path].kind is kind
            }
            if of_kind:
                judgements.append(judge_ranking(ranking, of_kind, query.relevant - of_kind))
        if judgements:
            values[kind] = compute_measures(judgements)
    return values
