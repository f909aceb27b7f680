"""The figures of an evaluation: means over queries, refusals, latencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmsearch.evaluation.known_answers import KnownQuery
from mmsearch.evaluation.measures import CUTS, MAP, MRR, NDCG, ValueArray
from mmsearch.evaluation.query_runner import SPAN_HITS, SPAN_IOU, Judged, Search


@dataclass(frozen=True, slots=True)
class Ranked:
    """Means over the queries that have an answer.

    `recall` is by cut-off: the share of the right files among the first k hits, of at most k.
    """

    queries: int
    recall: dict[str, float]
    mrr: float
    ndcg_at_10: float
    map_at_10: float


@dataclass(frozen=True, slots=True)
class NoMatch:
    """How well a library knows what it does not have; None where there is nothing to divide by.

    `queries` have no answer. Refused are those, of all, for which nothing passed the cut-off:
    `precision` is the share of them that has no answer, `recall` the share of those without an
    answer that was refused, `refused_wrongly` the share of those with an answer that was. `auroc`
    is the chance that the best score of a query with an answer is above that of one without.
    """

    queries: int
    precision: float | None
    recall: float | None
    refused_wrongly: float | None
    auroc: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one library.

    The figures of the ranking are over the `answerable` queries, without a cut-off, and in `kinds`
    for the right files of each kind. `span_hits` is over the `spans` queries with a span: the share
    whose right file was among the first ten with a best moment that covers half of the span, or
    lies by half within it; `span_iou` is the mean intersection over union of that moment, 0 where
    the file was not found. Latencies are of warm queries: the first one is not counted. They are 0
    where nothing was asked. `class_accuracy` is of layouts whose queries are classes.
    """

    queries: int
    answerable: int
    recall: dict[str, float]
    mrr: float
    ndcg_at_10: float
    map_at_10: float
    spans: int
    span_hits: float
    span_iou: float
    no_match: NoMatch
    latency_ms_p50: float
    latency_ms_p95: float
    latency_ms_p99: float
    kinds: dict[str, Ranked] = field(default_factory=dict)
    class_accuracy: float | None = None


def report(judged: Judged) -> Report:
    """What the queries got, in figures."""
    total = _ranked(judged.values)
    # An observed time, not one between two: the nearest rank.
    p50, p95, p99 = (
        np.percentile(judged.latencies_ms, (50, 95, 99), method="inverted_cdf").tolist()
        if len(judged.latencies_ms)
        else (0.0, 0.0, 0.0)
    )
    return Report(
        queries=len(judged.is_answerable),
        answerable=total.queries,
        recall=total.recall,
        mrr=total.mrr,
        ndcg_at_10=total.ndcg_at_10,
        map_at_10=total.map_at_10,
        spans=_count(judged.values[SPAN_HITS]),
        span_hits=_mean(judged.values[SPAN_HITS]),
        span_iou=_mean(judged.values[SPAN_IOU]),
        no_match=_no_match(judged),
        latency_ms_p50=p50,
        latency_ms_p95=p95,
        latency_ms_p99=p99,
        kinds={kind.value: _ranked(values) for kind, values in judged.kinds.items()},
    )


def _ranked(values: Mapping[str, ValueArray]) -> Ranked:
    return Ranked(
        queries=_count(values[MRR]),
        recall={str(cut): _mean(values[f"recall@{cut}"]) for cut in CUTS},
        mrr=_mean(values[MRR]),
        ndcg_at_10=_mean(values[NDCG]),
        map_at_10=_mean(values[MAP]),
    )


def _count(values: ValueArray) -> int:
    return int(np.count_nonzero(~np.isnan(values)))


def _mean(values: ValueArray) -> float:
    return float(np.nanmean(values)) if _count(values) else 0.0


def _no_match(judged: Judged) -> NoMatch:
    refused, answerable = judged.is_refused, judged.is_answerable
    unanswerable = ~answerable
    rightly = int(np.count_nonzero(refused & unanswerable))
    return NoMatch(
        queries=int(np.count_nonzero(unanswerable)),
        precision=_share(rightly, refused) if unanswerable.any() else None,
        recall=_share(rightly, unanswerable),
        refused_wrongly=_share(int(np.count_nonzero(refused & answerable)), answerable),
        auroc=auroc(judged.best_scores[answerable], judged.best_scores[unanswerable]),
    )


def _share(count: int, of: NDArray[np.bool_]) -> float | None:
    whole = int(np.count_nonzero(of))
    return count / whole if whole else None


def auroc(positive: ValueArray, negative: ValueArray) -> float | None:
    """The area under the ROC curve: P(positive > negative), ties counting half.

    The Mann-Whitney statistic over the number of pairs (Hanley and McNeil 1982). None where one of
    them is empty.
    """
    if not len(positive) or not len(negative):
        return None
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / (2 * len(negative)))


def class_accuracy(queries: Sequence[KnownQuery], search: Search, *, limit: int) -> float:
    """The share of the right files that scored highest for a query that they are right for.

    Zero-shot classification, with a query a class: `limit` is how many files there are. A file
    that no query found is wrong.
    """
    best: dict[str, tuple[float, int]] = {}
    for row, query in enumerate(queries):
        for answer in search(query, limit):
            for path in answer.paths:
                if path not in best or answer.score > best[path][0]:
                    best[path] = (answer.score, row)
    files = set().union(*(query.relevant for query in queries))
    right = sum(path in best and path in queries[best[path][1]].relevant for path in files)
    return right / len(files) if files else 0.0
